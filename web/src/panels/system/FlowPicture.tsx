import type { Arrow, Box, Status } from "./flow";
import styles from "./FlowPicture.module.css";

interface Place {
  x: number;
  y: number;
}

interface Layout {
  width: number;
  height: number;
  box: { width: number; height: number };
  places: Record<string, Place>;
  /** Arrows that have to go around others: `from to` → the corners of their way, and where their label stands. */
  detours: Record<string, Detour>;
}

interface Detour {
  way: readonly [Place, Place, ...Place[]];
  label: Place;
}

/** Centres of the boxes: two rows on a desk, the live path above; two columns on a phone. */
const WIDE: Layout = {
  width: 1120,
  height: 300,
  box: { width: 138, height: 64 },
  places: {
    producer: { x: 70, y: 60 },
    kafka: { x: 266, y: 60 },
    aggregator: { x: 462, y: 60 },
    redis: { x: 658, y: 60 },
    gateway: { x: 854, y: 60 },
    page: { x: 1050, y: 60 },
    archiver: { x: 266, y: 230 },
    s3: { x: 462, y: 230 },
    job: { x: 658, y: 230 },
    recommender: { x: 854, y: 230 },
  },
  detours: {
    "kafka recommender": {
      way: [
        { x: 326, y: 96 },
        { x: 326, y: 145 },
        { x: 814, y: 145 },
        { x: 814, y: 194 },
      ],
      label: { x: 560, y: 136 },
    },
  },
};
const TALL: Layout = {
  width: 328,
  height: 730,
  box: { width: 138, height: 64 },
  places: {
    producer: { x: 70, y: 40 },
    kafka: { x: 70, y: 170 },
    aggregator: { x: 70, y: 300 },
    redis: { x: 70, y: 430 },
    gateway: { x: 70, y: 560 },
    page: { x: 70, y: 690 },
    archiver: { x: 258, y: 170 },
    s3: { x: 258, y: 300 },
    job: { x: 258, y: 430 },
    recommender: { x: 258, y: 560 },
  },
  detours: {
    "kafka recommender": {
      way: [
        { x: 143, y: 190 },
        { x: 158, y: 190 },
        { x: 158, y: 540 },
        { x: 185, y: 540 },
      ],
      label: { x: 166, y: 370 },
    },
    // Straight, but its label would stand where the arrow above comes in.
    "recommender gateway": {
      way: [
        { x: 185, y: 560 },
        { x: 143, y: 560 },
      ],
      label: { x: 164, y: 578 },
    },
  },
};

const STATUS: Record<Status, string> = {
  ok: "healthy",
  not_ready: "not ready",
  unreachable: "down",
  unknown: "unknown",
  idle: "idle",
};

interface FlowPictureProps {
  boxes: readonly Box[];
  arrows: readonly Arrow[];
}

/** The way of a purchase from the till to this page, with what flows now. The table below says the same in words. */
export function FlowPicture(flow: FlowPictureProps) {
  return (
    <>
      <Drawing {...flow} layout={WIDE} className={styles.wide} />
      <Drawing {...flow} layout={TALL} className={styles.tall} />
    </>
  );
}

function Drawing({ boxes, arrows, layout, className }: FlowPictureProps & { layout: Layout; className: string | undefined }) {
  const down = boxes.filter(({ status }) => status === "unreachable" || status === "not_ready");
  const label =
    down.length === 0
      ? "Data flow: all components are healthy."
      : `Data flow: ${down.map(({ title, status }) => `${title} is ${STATUS[status]}`).join(", ")}.`;
  return (
    <svg viewBox={`-2 0 ${layout.width + 4} ${layout.height}`} className={className} role="img" aria-label={label}>
      {arrows.map((arrow) => (
        <ArrowLine key={`${arrow.from} ${arrow.to}`} arrow={arrow} layout={layout} />
      ))}
      {boxes.map((box) => (
        <BoxShape key={box.id} box={box} layout={layout} />
      ))}
    </svg>
  );
}

function BoxShape({ box, layout }: { box: Box; layout: Layout }) {
  const { x = 0, y = 0 } = layout.places[box.id] ?? {};
  const { width, height } = layout.box;
  const figures = box.figures.length > 0 ? box.figures : [STATUS[box.status]];
  const top = figures.length > 1 ? y - 11 : y;
  return (
    <g className={styles.box} data-status={box.status} data-testid={`part-${box.id}`}>
      <rect x={x - width / 2} y={y - height / 2} width={width} height={height} rx="10" />
      <circle cx={x - width / 2 + 16} cy={top - 10} r="5" />
      <text x={x - width / 2 + 28} y={top - 5}>
        {box.title}
      </text>
      {figures.map((figure, line) => (
        <text key={line} x={x - width / 2 + 12} y={top + 18 + 15 * line} className={styles.figures}>
          {figure}
        </text>
      ))}
    </g>
  );
}

function ArrowLine({ arrow, layout }: { arrow: Arrow; layout: Layout }) {
  const { from, to, label, broken } = arrow;
  const course = layout.detours[`${from} ${to}`] ?? direct(arrow, layout);
  if (course === null) return null;
  const { way, label: at } = course;
  const across = way.length > 2 ? layout === WIDE : way[0].y === way[1].y;
  const end = way.slice(-2);
  return (
    <g className={styles.arrow} data-broken={broken} data-testid={`arrow-${from}-${to}`}>
      <path d={`M${way.map(({ x, y }) => `${x} ${y}`).join("L")}`} />
      <path d={head(end)} className={styles.head} />
      <text x={at.x} y={at.y} textAnchor={across ? "middle" : "start"}>
        {label}
      </text>
    </g>
  );
}

/** The straight way from edge to edge, its label above it or at its right. */
function direct({ from, to }: Arrow, { places, box }: Layout): Detour | null {
  const [start, end] = [places[from], places[to]];
  if (start === undefined || end === undefined) return null;
  const { x1, y1, x2, y2 } = between(start, end, box);
  const across = y1 === y2;
  return {
    way: [
      { x: x1, y: y1 },
      { x: x2, y: y2 },
    ],
    label: { x: (x1 + x2) / 2 + (across ? 0 : 8), y: (y1 + y2) / 2 + (across ? -10 : 5) },
  };
}

/** A line from edge to edge of two boxes that stand beside or below each other. */
function between(start: Place, end: Place, box: Layout["box"]): { x1: number; y1: number; x2: number; y2: number } {
  const gap = 4;
  const dx = Math.sign(end.x - start.x) * (start.y === end.y ? box.width / 2 + gap : 0);
  const dy = Math.sign(end.y - start.y) * (start.y === end.y ? 0 : box.height / 2 + gap);
  return { x1: start.x + dx, y1: start.y + dy, x2: end.x - dx, y2: end.y - dy };
}

/** The head of an arrow whose way ends with these two places. */
function head([start, end]: readonly Place[]): string {
  if (start === undefined || end === undefined) return "";
  const length = Math.hypot(end.x - start.x, end.y - start.y) || 1;
  const [ux, uy] = [(end.x - start.x) / length, (end.y - start.y) / length];
  const [bx, by] = [end.x - 9 * ux, end.y - 9 * uy];
  return `M${end.x} ${end.y}L${bx - 5 * uy} ${by + 5 * ux}L${bx + 5 * uy} ${by - 5 * ux}Z`;
}
