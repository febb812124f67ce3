import { expect, it } from "vitest";
import type { Customer } from "../../api/types";
import { isWhole, spendRows } from "./spend";

const customer = (given: Partial<Customer>): Customer => ({
  user_id: "1",
  revenue: "0.00",
  quantity: 0,
  orders: 0,
  first_seen: null,
  last_seen: null,
  months: [],
  purchases: [],
  ...given,
});
const months = [
  { bucket: "2020-03-31T22:00:00Z", revenue: "0.05", quantity: 1, orders: 1 },
  { bucket: "2020-05-31T22:00:00Z", revenue: "5.00", quantity: 1, orders: 1 },
];

it("shows every month from the first to the last, on the shop's calendar", () => {
  const rows = spendRows(customer({ months }), "Europe/Berlin", "en-US");
  expect(rows.map(({ label, revenue, quantity, orders }) => [label, revenue, quantity, orders])).toEqual([
    ["Apr 2020", "0.05", 1, 1],
    ["May 2020", "0.00", 0, 0],
    ["Jun 2020", "5.00", 1, 1],
  ]);
  expect(spendRows(customer({}), "UTC")).toEqual([]);
});

it("tells whether the months are all that was spent, to the cent and the piece", () => {
  expect(isWhole(customer({ months, revenue: "5.05", quantity: 2 }))).toBe(true);
  expect(isWhole(customer({ months, revenue: "5.06", quantity: 2 }))).toBe(false);
  expect(isWhole(customer({ months, revenue: "5.05", quantity: 3 }))).toBe(false);
  expect(isWhole(customer({ revenue: "-1.00", quantity: -1 }))).toBe(false);
});
