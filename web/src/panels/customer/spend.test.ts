import { expect, it } from "vitest";
import type { Purchase } from "../../api/types";
import { spendRows } from "./spend";

const line = (event_time: string, order_id: string, revenue: string, quantity = 1): Purchase => ({
  event_time,
  order_id,
  revenue,
  quantity,
  product_id: "1",
  product_name: "unknown",
  category_code: "unknown",
  brand: "unknown",
  price: revenue,
});

it("adds lines up by month of the shop's calendar", () => {
  const lines = [
    line("2020-05-31T23:30:00Z", "b", "5.00"),
    line("2020-04-02T10:00:00Z", "a", "0.10", 2),
    line("2020-04-02T10:00:00Z", "a", "-0.05", -1),
  ];
  const rows = spendRows(lines, "Europe/Berlin", "en-US");
  expect(rows.map(({ label, revenue, quantity, orders }) => [label, revenue, quantity, orders])).toEqual([
    ["Apr 2020", "0.05", 1, 1],
    ["May 2020", "0.00", 0, 0],
    ["Jun 2020", "5.00", 1, 1],
  ]);
});

it("is empty without lines", () => {
  expect(spendRows([], "UTC")).toEqual([]);
});
