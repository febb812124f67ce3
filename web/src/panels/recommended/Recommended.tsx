import type { RecommendedItem, Strategy } from "../../api/types";
import type { Query } from "../../live/useQuery";
import { Link } from "../../router/Link";
import { Empty, Failed, Loading } from "../../ui/Panel";
import { ProductCard } from "./ProductCard";
import { knowledgeText } from "./knowledge";
import { strategyText } from "./reason";
import styles from "./Recommended.module.css";

/** The variant of customers who take part in no comparison. */
const ONLY_VARIANT = "main";

/** What every answer with recommended products tells. */
export interface Answer {
  strategy: Strategy;
  model_version: string | null;
  variant?: string | null;
  state_age_ms?: number | null;
  items: readonly RecommendedItem[];
  message?: string | null;
}

interface RecommendedProps {
  answer: Query<Answer>;
  /** The name of a product that a reason refers to; null where it is not known. */
  titleOf: (productId: string) => string | null;
  /** What is said where no product fits. */
  empty: string;
}

/** Recommended products as cards, the best first, with the strategy that found them and its model. */
export function Recommended({ answer: { data, error, retry }, titleOf, empty }: RecommendedProps) {
  if (data === undefined) {
    return (
      <div className={styles.waiting}>
        {error ? <Failed error={error} retry={retry} /> : <Loading label="Loading recommendations" />}
      </div>
    );
  }
  return (
    <>
      <p className={styles.strategy} data-testid="strategy" data-strategy={data.strategy}>
        <strong>{strategyText(data.strategy)}</strong>
        <span>
          Model{" "}
          <Link to="/models" className="id">
            {data.model_version ?? "none yet"}
          </Link>
          {data.variant != null && data.variant !== ONLY_VARIANT && <> · variant {data.variant}</>}
        </span>
      </p>
      {knowledgeText(data.state_age_ms ?? null) !== null && (
        <p className={styles.old} role="status" data-testid="knowledge">
          {knowledgeText(data.state_age_ms ?? null)}
        </p>
      )}
      {data.items.length === 0 ? (
        <Empty>{data.message ?? empty}</Empty>
      ) : (
        <ol className={styles.cards} data-many={data.items.length > 3}>
          {data.items.map((item, index) => (
            <ProductCard
              key={item.product_id}
              item={item}
              place={index + 1}
              bestScore={data.items[0]?.score ?? 0}
              titleOf={titleOf}
            />
          ))}
        </ol>
      )}
    </>
  );
}
