import { describe, expect, it } from "vitest";
import type { Part } from "../../api/types";
import { arrowsOf, boxesOf, ORDER, type Seen } from "./flow";

const part = (name: string, given: Partial<Part> = {}): Part => ({
  name,
  kind: "service",
  status: "ok",
  detail: "ready",
  figures: {},
  ...given,
});
const NUMBERS = { rate: String, count: String };
const SEEN = { live: true, freshness: "0.3 s", model: "20261101T000000Z-aaaaaa", modelAge: "2 h" };
const names = ["producer", "kafka", "aggregator", "redis", "gateway", "archiver", "s3", "recommender"];
const all = (changed: Part): Part[] => names.map((name) => (name === changed.name ? changed : part(name)));
const job = (seen: Seen): string | undefined => boxesOf([], NUMBERS, seen).find(({ id }) => id === "job")?.figures[0];
const broken = (parts: Part[]): string[] =>
  arrowsOf(boxesOf(parts, NUMBERS, SEEN), parts, NUMBERS)
    .filter((arrow) => arrow.broken)
    .map(({ from, to }) => `${from}→${to}`);

describe("the flow", () => {
  it("has a box for every part, with its figures", () => {
    const boxes = boxesOf(all(part("aggregator", { rate: 4, lag: 7 })), NUMBERS, SEEN);
    expect(boxes.map(({ id }) => id)).toEqual(ORDER);
    expect(boxes.find(({ id }) => id === "aggregator")).toMatchObject({ status: "ok", figures: ["4/s", "7 behind"] });
  });

  it("has no line that is wider than its box", () => {
    const numbers = { rate: (rate: number) => rate.toLocaleString("en"), count: (count: number) => count.toLocaleString("en") };
    const figures = (given: Partial<Part>) =>
      boxesOf(all(part("aggregator", given)), numbers, SEEN).find(({ id }) => id === "aggregator")?.figures;
    expect(figures({ rate: 123_456, lag: 9_876_543 })).toEqual(["123,456/s", "9,876,543 behind"]);
    expect(figures({ status: "not_ready", detail: "waits for kafka, tables, assigned" })).toEqual(["waits for kafka,…"]);
  });

  it("is broken on both sides of a part that is down", () => {
    expect(broken(all(part("aggregator", { status: "unreachable" })))).toEqual(["kafka→aggregator", "aggregator→redis"]);
    expect(broken(all(part("recommender", { status: "not_ready" })))).toEqual([
      "kafka→recommender",
      "job→recommender",
      "recommender→gateway",
    ]);
  });

  it("is whole while nothing is sent", () => {
    const parts = all(part("producer", { status: "unreachable" }));
    expect(broken(parts)).toEqual([]);
    expect(boxesOf(parts, NUMBERS, SEEN)[0]).toMatchObject({ status: "idle", figures: ["nothing to send"] });
  });

  it("does not reach a page whose stream is lost", () => {
    const parts = all(part("kafka"));
    const boxes = boxesOf(parts, NUMBERS, { ...SEEN, live: false });
    expect(arrowsOf(boxes, parts, NUMBERS).find(({ to }) => to === "page")?.broken).toBe(true);
  });

  it("shows on an arrow what its reader takes", () => {
    const parts = all(part("archiver", { rate: 3.5 }));
    const arrows = arrowsOf(boxesOf(parts, NUMBERS, SEEN), parts, NUMBERS);
    expect(arrows.find(({ from, to }) => from === "kafka" && to === "archiver")?.label).toBe("3.5/s");
  });

  it("shows who is served, and how old the model is", () => {
    const parts = all(part("gateway", { figures: { open_pages: 3, recommendations_per_second: 1.5 } }));
    const boxes = boxesOf(parts, NUMBERS, SEEN);
    const labels = new Map(arrowsOf(boxes, parts, NUMBERS).map(({ from, to, label }) => [`${from}→${to}`, label]));
    expect(labels.get("gateway→page")).toBe("3 open");
    expect(labels.get("recommender→gateway")).toBe("1.5/s");
    expect(job(SEEN)).toBe("model 2 h old");
    expect(job({ ...SEEN, model: "winter", modelAge: null })).toBe("model winter");
    expect(job({ ...SEEN, model: null, modelAge: null })).toBe("no model yet");
  });
});
