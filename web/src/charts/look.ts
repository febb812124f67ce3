/** The design tokens as ECharts needs them: resolved colours and pixels. */
export interface Look {
  ink: string;
  inkSoft: string;
  inkFaint: string;
  surface: string;
  line: string;
  grid: string;
  first: string;
  second: string;
  rest: string;
  font: string;
  /** Pixels of one rem. */
  rem: number;
}

const COLOURS = {
  ink: "--ink",
  inkSoft: "--ink-soft",
  inkFaint: "--ink-faint",
  surface: "--surface",
  line: "--line",
  grid: "--chart-grid",
  first: "--chart-1",
  second: "--chart-2",
  rest: "--chart-rest",
} as const;

/** Reads the tokens as they apply to an element now. */
export function readLook(element: HTMLElement): Look {
  const style = getComputedStyle(element);
  const probe = element.appendChild(document.createElement("span"));
  const resolved = (token: string): string => {
    // A custom property keeps light-dark() as text; a colour property resolves it.
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const colours = Object.fromEntries(Object.entries(COLOURS).map(([name, token]) => [name, resolved(token)])) as Record<
    keyof typeof COLOURS,
    string
  >;
  probe.remove();
  return { ...colours, font: style.fontFamily, rem: Number.parseInt(getComputedStyle(document.documentElement).fontSize) };
}
