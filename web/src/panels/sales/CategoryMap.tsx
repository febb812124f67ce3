import { useCallback } from "react";
import { treemapOption, type Scene } from "../../charts/options";
import { formatCount, formatShare } from "../../format/numbers";
import { useMoney } from "../../live/ShopContext";
import { useMapped } from "../../live/useFigures";
import type { Query } from "../../live/useQuery";
import { useChangeSearch } from "../../router/location";
import { LinkButton } from "../../ui/Button";
import { ChartPanel, type Column } from "../chart/ChartPanel";
import { categoryLevel, categoryTrail, type CategoryNode } from "../../format/categories";
import styles from "./CategoryMap.module.css";
import type { CategoryFigures } from "./categoryFigures";

interface CategoryMapProps {
  within: string | null;
  figures: Query<CategoryFigures>;
  /** The days that the figures are of; null where all are. */
  words: string | null;
}

/** The categories as a map of areas, level by level; the address holds the level. */
export function CategoryMap({ within, figures, words }: CategoryMapProps) {
  const money = useMoney();
  const change = useChangeSearch();
  const enter = (code: string | null): void => {
    change({ in: code });
  };
  const levelOf = useCallback(({ top }: CategoryFigures) => categoryLevel(top, within), [within]);
  const rows = useMapped(figures, levelOf);
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
      note={`by revenue, ${words ?? "since the beginning"}; pick one to see what is in it`}
      rows={rows}
      option={option}
      columns={columns}
      empty={`Nothing was sold ${within === null ? "in this range" : "in this category and range"}.`}
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
