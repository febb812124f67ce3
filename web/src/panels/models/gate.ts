/** The gate's record in plain words. */
import type { GateRecipe, GateRecord, Interval, ModelList, Variant } from "../../api/types";

const RECIPE: Record<string, string> = {
  candidate: "The new model",
  live: "The live model, retrained",
  popularity: "Popular products",
};

/** The record of the newest run of the batch job, if the gateway knows one that holds a verdict. */
export const latestGate = ({ gate }: Pick<ModelList, "gate">): GateRecord | null =>
  gate !== null && hasVerdict(gate) ? gate : null;

const hasVerdict = (gate: object): gate is GateRecord =>
  "version" in gate &&
  typeof gate.version === "string" &&
  "verdict" in gate &&
  (gate.verdict === "published" || gate.verdict === "refused");

/** The models that answer a part of the customers. */
export const variantsOf = (current: ModelList["current"]): readonly Variant[] => current?.variants ?? [];

export const recipeName = ({ name }: GateRecipe): string => RECIPE[name] ?? name.replaceAll("_", " ");

/** The verdict in one line. */
export function verdictText({ verdict, winner }: GateRecord): string {
  if (verdict === "refused") return "Refused: nothing was changed, the shop keeps its current model.";
  if (winner === undefined) return "Published.";
  if (winner === "candidate") return "Published: the new model was the best.";
  return winner === "live"
    ? "Published: the live model, retrained on all purchases, was the best."
    : "Published: no personal model beat popular products, so customers get those.";
}

export interface RecipeRow {
  name: string;
  won: boolean;
  /** Of 100 orders of customers known before: in how many one of the three products shown was bought. */
  hits: string;
  ranking: string;
  againstLive: string;
  againstPopularity: string;
  refused: string | null;
}

export interface GateNumbers {
  share: (value: number) => string;
  score: (value: number) => string;
}

const NOTHING = "—";

export const recipeRows = (gate: GateRecord, numbers: GateNumbers): RecipeRow[] =>
  (gate.recipes ?? []).map((recipe) => ({
    name: recipeName(recipe),
    won: recipe.name === gate.winner && gate.verdict === "published",
    hits: interval(recipe.figures?.warm?.["hr@3"], numbers.share),
    ranking: interval(recipe.figures?.warm?.["ndcg@10"], numbers.score),
    againstLive: difference(recipe.against_live, numbers.score),
    againstPopularity: difference(recipe.against_popularity, numbers.score),
    refused: recipe.refused ?? null,
  }));

function interval(value: Interval | null | undefined, write: (value: number) => string): string {
  if (value === null || value === undefined) return NOTHING;
  const [middle, low, high] = value.map(write);
  return `${middle} (${low} to ${high})`;
}

/** A difference is better or worse only if its interval does not contain zero. */
function difference(value: Interval | null | undefined, write: (value: number) => string): string {
  if (value === null || value === undefined) return NOTHING;
  const [, low, high] = value;
  const judged = low > 0 ? "better" : high < 0 ? "worse" : "no clear difference";
  return `${judged}: ${interval(value, write)}`;
}
