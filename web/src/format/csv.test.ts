import { expect, it } from "vitest";
import { toCsv } from "./csv";

it("quotes what needs it and keeps ids and money as they are", () => {
  const rows = [
    ["9223372036854775807", "-1234.50", 3],
    ['quo"te, inc', "two\nlines", null],
  ];
  expect(toCsv(["id", "revenue", "pieces"], rows)).toBe(
    'id,revenue,pieces\r\n9223372036854775807,-1234.50,3\r\n"quo""te, inc","two\nlines",\r\n',
  );
});

it("of no rows is its header", () => {
  expect(toCsv(["id"], [])).toBe("id\r\n");
});
