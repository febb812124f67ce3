import { useEffect, useEffectEvent, useMemo, useRef } from "react";
import { AHEAD_MS, nextEdge, placeOf, scaleOf, visible, type Scale, type Value } from "../../charts/moving";
import type { Step } from "../../live/pulse";
import { useTheme } from "../../theme";
import styles from "./MovingLine.module.css";

const LINE_REM = 0.125;
const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

interface MovingLineProps {
  name: string;
  steps: readonly Step[];
  /** How much time the window shows. */
  seconds: number;
  rate: (step: Step) => number;
  format: (rate: number) => string;
  /** Whether the newest step is what happens now. */
  live: boolean;
  className?: string | undefined;
}

/**
 * A line that moves to the left with the time. It is drawn once a second on a canvas that is wider than its window; in
 * between the browser's compositor moves the canvas, at the screen's own pace and without any script.
 */
export function MovingLine({ name, steps, seconds, rate, format, live, className }: MovingLineProps) {
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const clock = useRef<{ edge: number; at: number } | null>(null);
  const theme = useTheme();
  const values = useMemo(() => valuesOf(steps, rate), [steps, rate]);
  const spanMs = seconds * 1_000;
  const newest = values.at(-1);
  const shown = visible(values, newest?.at ?? 0, spanMs);
  const scale = scaleOf(shown.map(({ value }) => value));

  const draw = useEffectEvent((): void => {
    if (frame.current === null || canvas.current === null || newest === undefined) return;
    const now = performance.now();
    const still = reducedMotion.matches;
    const edge = still ? newest.at : nextEdge(clock.current?.edge ?? null, now - (clock.current?.at ?? now), newest.at);
    clock.current = { edge, at: now };
    const width = frame.current.clientWidth;
    drawLine(canvas.current, visible(values, edge, spanMs), scale, { edge, spanMs, width, height: frame.current.clientHeight });
    for (const animation of canvas.current.getAnimations()) animation.cancel();
    if (!still) move(canvas.current, (width * AHEAD_MS) / spanMs);
  });

  useEffect(() => {
    draw();
  }, [values, theme, spanMs]);
  useEffect(() => {
    if (frame.current === null) return;
    const resized = new ResizeObserver(() => {
      draw();
    });
    resized.observe(frame.current);
    return () => {
      resized.disconnect();
    };
  }, []);

  return (
    <div className={[styles.lane, className].join(" ")} data-live={live}>
      <div className={styles.caption}>
        <span>{name}</span>
        <b>{newest === undefined || !live ? "—" : format(newest.value)}</b>
      </div>
      <div ref={frame} className={styles.window}>
        <canvas ref={canvas} role="img" aria-label={`${name}. The same figures can be read as a table.`} data-testid="moving line" />
        <span className={styles.scale} aria-hidden="true">
          {format(scale.high)}
        </span>
      </div>
    </div>
  );
}

function valuesOf(steps: readonly Step[], rate: (step: Step) => number): Value[] {
  return steps.map((step, index) => {
    const before = steps[index - 1];
    // A step begins where the one before it has ended, unless something is missing in between.
    const joined = before !== undefined && Math.abs(step.at - step.seconds * 1_000 - before.at) < 1;
    return { at: step.at, value: rate(step), joined };
  });
}

/** The window that is drawn for, in CSS pixels. */
interface Box {
  edge: number;
  spanMs: number;
  width: number;
  height: number;
}

function drawLine(canvas: HTMLCanvasElement, values: readonly Value[], scale: Scale, box: Box): void {
  const context = sized(canvas, box);
  if (context === null) return;
  const { edge, spanMs, width, height } = box;
  const thick = LINE_REM * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
  const room = height - 2 * thick;
  const y = (value: number): number => thick + ((scale.high - value) / (scale.high - scale.low)) * room;
  const colour = getComputedStyle(canvas).color;
  for (const run of runsOf(values)) {
    const points = run.map(({ at, value }): [number, number] => [placeOf(at, edge, spanMs, width), y(value)]);
    trace(context, points);
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(points.at(-1)?.[0] ?? 0, y(0));
    context.lineTo(points[0]?.[0] ?? 0, y(0));
    context.globalAlpha = 0.15;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
  }
}

/** The canvas in the screen's own pixels, empty. */
function sized(canvas: HTMLCanvasElement, { width, height, spanMs }: Box): CanvasRenderingContext2D | null {
  const ratio = window.devicePixelRatio;
  const whole = Math.ceil(width * (1 + AHEAD_MS / spanMs));
  canvas.width = whole * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${whole}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context?.scale(ratio, ratio);
  return context;
}

function runsOf(values: readonly Value[]): Value[][] {
  const runs: Value[][] = [];
  for (const value of values) {
    if (value.joined && runs.length > 0) runs.at(-1)?.push(value);
    else runs.push([value]);
  }
  return runs;
}

function trace(context: CanvasRenderingContext2D, points: readonly [number, number][]): void {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
}

/** Where no newer drawing comes, it stops at its end: a line without news stands still. */
function move(canvas: HTMLCanvasElement, pixels: number): void {
  canvas.animate([{ transform: "translateX(0)" }, { transform: `translateX(${-pixels}px)` }], {
    duration: AHEAD_MS,
    fill: "forwards",
  });
}
