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
  warn: string;
  /** Areas beside each other, and the text on them. */
  tiles: string[];
  onTile: string;
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
  warn: "--warn",
  onTile: "--chart-on-tile",
} as const;

const TILES = ["--chart-tile-1", "--chart-tile-2", "--chart-tile-3", "--chart-tile-4", "--chart-tile-5"];

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
  const tiles = TILES.map(resolved);
  probe.remove();
  return { ...colours, tiles, font: style.fontFamily, rem: Number.parseInt(getComputedStyle(document.documentElement).fontSize) };
}
