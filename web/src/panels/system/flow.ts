/** The picture of the data flow: what stands where, and what flows between. Pure; positions are in units of a grid. */
import type { Part } from "../../api/types";

export type Status = Part["status"] | "idle";

export interface Box {
  id: string;
  title: string;
  status: Status;
  /** Up to two short lines of live figures below the title. */
  figures: readonly string[];
}

/** One way that data takes. It flows only where both ends are well. */
export interface Arrow {
  from: string;
  to: string;
  label: string;
  broken: boolean;
}

export interface Numbers {
  rate: (perSecond: number) => string;
  count: (count: number) => string;
}

/** What the page knows besides the parts. */
export interface Seen {
  live: boolean;
  freshness: string | null;
  /** The version of the live model; null where there is none. */
  model: string | null;
  /** How long ago it was made, in words; null where its version does not tell. */
  modelAge: string | null;
}

const ENDS: readonly [from: string, to: string][] = [
  ["producer", "kafka"],
  ["kafka", "aggregator"],
  ["aggregator", "redis"],
  ["redis", "gateway"],
  ["gateway", "page"],
  ["kafka", "recommender"],
  ["kafka", "archiver"],
  ["archiver", "s3"],
  ["s3", "job"],
  ["job", "recommender"],
  ["recommender", "gateway"],
];

const TITLES: Record<string, string> = {
  producer: "Producer",
  kafka: "Kafka",
  aggregator: "Aggregator",
  redis: "Redis",
  gateway: "Gateway",
  page: "This page",
  archiver: "Archiver",
  s3: "S3",
  job: "Batch job",
  recommender: "Recommender",
};

export const ORDER = Object.keys(TITLES);

/** The producer runs only while there is something to send: away, it is at rest and not broken. */
export const statusOf = (part: Part): Status =>
  part.name === "producer" && part.status === "unreachable" ? "idle" : part.status;

export const isDown = (status: Status): boolean => status === "unreachable" || status === "not_ready";

export function boxesOf(parts: readonly Part[], numbers: Numbers, seen: Seen): Box[] {
  const known = new Map(parts.map((part) => [part.name, part]));
  return ORDER.map((id) => {
    const title = TITLES[id] ?? id;
    if (id === "page") return { id, title, status: seen.live ? "ok" : "unreachable", figures: lines(seen.freshness) };
    // Nobody watches the batch job: it is started, and ends. What it last made is what can be told.
    if (id === "job") return { id, title, status: "idle", figures: lines(modelText(seen)) };
    const part = known.get(id);
    if (part === undefined) return { id, title, status: "unknown", figures: [] };
    return { id, title, status: statusOf(part), figures: figuresOf(part, numbers) };
  });
}

function modelText({ model, modelAge }: Seen): string {
  if (model === null) return "no model yet";
  return modelAge === null ? `model ${model}` : `model ${modelAge} old`;
}

function figuresOf(part: Part, { rate, count }: Numbers): string[] {
  if (part.status === "unreachable") return [part.name === "producer" ? "nothing to send" : "down"];
  if (part.status === "not_ready") return lines(part.detail);
  return [
    ...(part.rate === null || part.rate === undefined ? [] : [fitted(`${rate(part.rate)}/s`)]),
    ...(part.lag === null || part.lag === undefined ? [] : [fitted(`${count(part.lag)} behind`)]),
  ];
}

/** As many letters as a box is wide. The table below the picture has the whole text. */
const WIDEST = 17;
const fitted = (text: string): string => (text.length > WIDEST ? `${text.slice(0, WIDEST - 1)}…` : text);
const lines = (text: string | null): string[] => (text === null || text === "" ? [] : [fitted(text)]);

export function arrowsOf(boxes: readonly Box[], parts: readonly Part[], numbers: Numbers): Arrow[] {
  const status = new Map(boxes.map((box) => [box.id, box.status]));
  const known = new Map(parts.map((part) => [part.name, part]));
  return ENDS.map(([from, to]) => ({
    from,
    to,
    label: arrowLabel(from, to, known, numbers),
    broken: isDown(status.get(from) ?? "unknown") || isDown(status.get(to) ?? "unknown"),
  }));
}

/** What moves along an arrow: records a second as its reader takes them, else as its writer sends them. */
function arrowLabel(from: string, to: string, parts: ReadonlyMap<string, Part>, numbers: Numbers): string {
  if (from === "kafka") return perSecond(parts.get(to), numbers.rate);
  if (from === "producer" || from === "aggregator" || from === "archiver") return perSecond(parts.get(from), numbers.rate);
  if (to === "page") return pages(parts.get("gateway"), numbers.count);
  if (from === "recommender") return answers(parts.get("gateway"), numbers.rate);
  return "";
}

const perSecond = (part: Part | undefined, rate: Numbers["rate"]): string =>
  part?.status === "ok" && part.rate !== null && part.rate !== undefined ? `${rate(part.rate)}/s` : "";

function pages(gateway: Part | undefined, count: Numbers["count"]): string {
  const open = gateway?.figures.open_pages;
  return typeof open === "number" ? `${count(open)} open` : "";
}

function answers(gateway: Part | undefined, rate: Numbers["rate"]): string {
  const answered = gateway?.figures.recommendations_per_second;
  return typeof answered === "number" ? `${rate(answered)}/s` : "";
}
