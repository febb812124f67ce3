import { useEffect, useEffectEvent, useRef } from "react";
import { useMoney } from "../live/ShopContext";
import { useTheme } from "../theme";
import { init } from "./core";
import styles from "./EChart.module.css";
import { readLook } from "./look";
import type { ChartOption, Scene } from "./options";

const NARROW_REM = 30;
const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

interface EChartProps {
  /** What is drawn, in words, for those who do not see it. */
  label: string;
  option: (scene: Scene) => ChartOption;
  /** A bar or an area was picked: its place among the rows, and its name. */
  onPick?: ((index: number, name: string) => void) | undefined;
}

type Chart = ReturnType<typeof init>;

/** Draws an option on the space it is given, again whenever the option, the theme or the space changes. */
export default function EChart({ label, option, onPick }: EChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const theme = useTheme();
  const money = useMoney();

  const draw = useEffectEvent((): void => {
    if (box.current === null || chart.current === null) return;
    const look = readLook(box.current);
    const narrow = box.current.clientWidth < NARROW_REM * look.rem;
    chart.current.setOption(option({ look, money, narrow, motion: !reducedMotion.matches }), {
      replaceMerge: ["series"],
    });
  });
  const pick = useEffectEvent((index: number, name: string): void => onPick?.(index, name));

  useEffect(() => {
    if (box.current === null) return;
    const drawn = init(box.current);
    chart.current = drawn;
    drawn.on("click", ({ dataIndex, name }) => {
      pick(dataIndex, name);
    });
    const resized = new ResizeObserver(() => {
      drawn.resize();
      draw();
    });
    resized.observe(box.current);
    return () => {
      resized.disconnect();
      drawn.dispose();
      chart.current = null;
    };
  }, []);

  useEffect(() => {
    draw();
  }, [option, theme, money]);

  return <div ref={box} className={styles.chart} role="img" aria-label={label} />;
}
