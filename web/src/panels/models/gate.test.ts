import { expect, it } from "vitest";
import type { GateRecord } from "../../api/types";
import { latestGate, recipeRows, verdictText } from "./gate";

const gate: GateRecord = {
  version: "v2",
  verdict: "refused",
  winner: "live",
  reason: "The new model finds fewer purchases than the live one.",
  rule: "",
  recipes: [
    {
      name: "candidate",
      refused: "worse than the live one",
      figures: { warm: { "hr@3": [0.02, 0.01, 0.03], "ndcg@10": [0.1, 0.05, 0.15] } },
      against_live: [-0.02, -0.03, -0.01],
      against_popularity: [0.01, -0.01, 0.03],
    },
    { name: "popularity", refused: null, figures: {}, against_live: null, against_popularity: null },
  ],
  checks: [],
};
const numbers = { share: (value: number) => `${Math.round(100 * value)}%`, score: String };

it("says in plain words what the record says in figures", () => {
  expect(recipeRows(gate, numbers)).toEqual([
    {
      name: "The new model",
      won: false,
      hits: "2% (1% to 3%)",
      ranking: "0.1 (0.05 to 0.15)",
      againstLive: "worse: -0.02 (-0.03 to -0.01)",
      againstPopularity: "no clear difference: 0.01 (-0.01 to 0.03)",
      refused: "worse than the live one",
    },
    {
      name: "Popular products",
      won: false,
      hits: "—",
      ranking: "—",
      againstLive: "—",
      againstPopularity: "—",
      refused: null,
    },
  ]);
});

it("tells who won, and that a refusal changes nothing", () => {
  expect(verdictText(gate)).toContain("keeps its current model");
  const published: GateRecord = { ...gate, verdict: "published", winner: "candidate" };
  expect(verdictText(published)).toContain("the new model was the best");
  expect(recipeRows(published, numbers)[0]?.won).toBe(true);
  expect(verdictText({ ...published, winner: "popularity" })).toContain("no personal model beat popular products");
});

it("is silent where no run was recorded, or none that says what it decided", () => {
  expect(latestGate({ gate: null })).toBeNull();
  expect(latestGate({ gate: { version: "v2" } })).toBeNull();
  expect(latestGate({ gate: { version: "v2", verdict: "maybe" } })).toBeNull();
});

it("tells what an incomplete record holds, and no more", () => {
  const bare = latestGate({ gate: { version: "v2", verdict: "published" } });
  expect(bare && verdictText(bare)).toBe("Published.");
  expect(bare && recipeRows(bare, numbers)).toEqual([]);
  expect(recipeRows({ version: "v2", verdict: "refused", recipes: [{ name: "candidate" }] }, numbers)).toEqual([
    {
      name: "The new model",
      won: false,
      hits: "—",
      ranking: "—",
      againstLive: "—",
      againstPopularity: "—",
      refused: null,
    },
  ]);
});
