import { expect, it } from "vitest";
import { categoryShares } from "../../charts/series";
import { categoryFigures, MOST_CATEGORIES } from "./categoryFigures";

const entry = (id: string, revenue: string) => ({
  id,
  name: null,
  category_code: null,
  brand: null,
  revenue,
  quantity: 1,
  share: null,
});
const newer = () => Promise.resolve("999.99");

it("takes all revenue from the same reading, so that what the others sold is exact", async () => {
  const { top, revenue } = await categoryFigures([entry("a", "10.00"), entry("b", "2.50"), entry("c", "-0.25")], newer);
  expect(revenue).toBe("12.25");
  expect(categoryShares(top.slice(0, 1), { revenue }).at(-1)).toMatchObject({ rest: true, revenue: "2.25" });
});

it("asks for all revenue where there may be more categories than were answered", async () => {
  const full = Array.from({ length: MOST_CATEGORIES }, (_, index) => entry(`c${index}`, "1.00"));
  expect((await categoryFigures(full, newer)).revenue).toBe("999.99");
});
