import { useCallback } from "react";
import { api } from "../../api/client";
import type { TopEntry } from "../../api/types";
import { treemapOption, type Scene } from "../../charts/options";
import { formatCount, formatShare } from "../../format/numbers";
import { useMoney } from "../../live/ShopContext";
import { useFigures, useMapped } from "../../live/useFigures";
import { useChangeSearch } from "../../router/location";
import { LinkButton } from "../../ui/Button";
import { ChartPanel, type Column } from "../chart/ChartPanel";
import { categoryLevel, categoryTrail, type CategoryNode } from "../../format/categories";
import styles from "./CategoryMap.module.css";

/** As many as the gateway answers at once. */
const ALL = 1_000;

/** The categories as a map of areas, level by level; the address holds the level. */
export function CategoryMap({ within }: { within: string | null }) {
  const money = useMoney();
  const change = useChangeSearch();
  const enter = (code: string | null): void => {
    change({ in: code });
  };
  const levelOf = useCallback((all: TopEntry[]) => categoryLevel(all, within), [within]);
  const rows = useMapped(
    useFigures("category-map", (signal) => api.top("categories", ALL, signal)),
    levelOf,
  );
  const option = useCallback(
    (scene: Scene) => treemapOption((rows.data ?? []).map((node) => ({ ...node, name: node.label })), scene),
    [rows.data],
  );
  const columns: Column<CategoryNode>[] = [
    {
      name: "Category",
      cell: ({ code, label, deeper }) =>
        deeper ? (
          <LinkButton
            onClick={() => {
              enter(code);
            }}
          >
            {label}
          </LinkButton>
        ) : (
          label
        ),
      raw: ({ code }) => code,
    },
    { name: "Revenue", cell: ({ revenue }) => money.exact(revenue), raw: ({ revenue }) => revenue },
    { name: "Share", cell: ({ share }) => formatShare(share), raw: ({ share }) => share },
    { name: "Pieces", cell: ({ quantity }) => formatCount(quantity), raw: ({ quantity }) => quantity },
  ];
  return (
    <ChartPanel
      title="Categories"
      note="by revenue since the beginning; pick one to see what is in it"
      rows={rows}
      option={option}
      columns={columns}
      empty="Nothing has been sold in this category."
      above={<Trail within={within} onEnter={enter} />}
      onPick={(_, name) => {
        const picked = rows.data?.find(({ label, deeper }) => deeper && label === name);
        if (picked !== undefined) enter(picked.code);
      }}
    />
  );
}

/** Where we are, and the ways back up. */
function Trail({ within, onEnter }: { within: string | null; onEnter: (code: string | null) => void }) {
  const steps = [{ code: null, label: "All categories" }, ...categoryTrail(within)];
  return (
    <nav aria-label="Category level">
      <ol className={styles.trail}>
        {steps.map(({ code, label }, index) => (
          <li key={label}>
            {index === steps.length - 1 ? (
              <span aria-current="true">{label}</span>
            ) : (
              <LinkButton
                onClick={() => {
                  onEnter(code);
                }}
              >
                {label}
              </LinkButton>
            )}
          </li>
        ))}
      </ol>
    </nav>
  );
}
