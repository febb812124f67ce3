import { useState } from "react";
import { api } from "../../api/client";
import type { Customer, Product, RecommendedItem } from "../../api/types";
import { useQuery } from "../../live/useQuery";
import { Button } from "../../ui/Button";
import { Check } from "../../ui/Field";
import { Panel } from "../../ui/Panel";
import { productOf } from "../product/find";
import { ProductSearch } from "../product/ProductSearch";
import { Recommended } from "../recommended/Recommended";
import { candidatesOf, toggled } from "./basket";
import { asQuery, type Filters } from "./filters";
import styles from "./WhatIf.module.css";

const PRODUCTS = 3;
const BOUGHT_SHOWN = 5;
const POPULAR_SHOWN = 4;

interface WhatIfProps {
  customer: Customer | null;
  recommended: readonly RecommendedItem[];
  filters: Filters;
}

/** Products ticked as if they were bought, and what would go with them. The customer's own history is not changed. */
export function WhatIf({ customer, recommended, filters }: WhatIfProps) {
  const [ticked, setTicked] = useState<readonly string[]>([]);
  const [added, setAdded] = useState<readonly Product[]>([]);
  const popular = useQuery("popular", (signal) => api.popular(POPULAR_SHOWN, signal));
  const add = async (productId: string): Promise<void> => {
    const product = await productOf(productId);
    setAdded((products) => [product, ...products]);
    setTicked((ids) => (ids.includes(product.product_id) ? ids : [...ids, product.product_id]));
  };
  const candidates = candidatesOf([
    ...added,
    ...recommended,
    ...(customer?.purchases ?? []).slice(0, BOUGHT_SHOWN),
    ...(popular.data ?? []),
  ]);
  const titles = new Map(candidates.map(({ id, title }) => [id, title]));
  return (
    <Panel
      title="What if"
      note="tick products as if they were bought together, and see what goes with them"
      actions={
        ticked.length > 0 && (
          <Button
            onClick={() => {
              setTicked([]);
            }}
          >
            Untick all
          </Button>
        )
      }
    >
      <ProductSearch action="Add" onProduct={add} />
      <ul className={styles.candidates} data-testid="candidates">
        {candidates.map(({ id, title }) => (
          <li key={id}>
            <Check
              checked={ticked.includes(id)}
              onChange={() => {
                setTicked(toggled(ticked, id));
              }}
            >
              <span>
                {title} <span className={`${styles.id} id`}>{id}</span>
              </span>
            </Check>
          </li>
        ))}
      </ul>
      {ticked.length === 0 ? (
        <p className={styles.hint}>Nothing is in the basket yet.</p>
      ) : (
        <Basket productIds={ticked} filters={filters} titles={titles} />
      )}
    </Panel>
  );
}

interface BasketProps {
  productIds: readonly string[];
  filters: Filters;
  titles: ReadonlyMap<string, string>;
}

function Basket({ productIds, filters, titles }: BasketProps) {
  const wanted = { product_ids: [...productIds], k: PRODUCTS, ...asQuery(filters) };
  const answer = useQuery(JSON.stringify(wanted), (signal) => api.basket(wanted, signal));
  const unknown = answer.data?.unknown_product_ids ?? [];
  return (
    <div className={styles.basket} data-testid="basket">
      <Recommended
        answer={answer}
        titleOf={(productId) => titles.get(productId) ?? null}
        empty="No product fits this basket and these filters."
      />
      {unknown.length > 0 && (
        <p className={styles.unknown}>
          The model does not know {unknown.map((id) => titles.get(id) ?? id).join(", ")} yet: too new, or bought by nobody
          known.
        </p>
      )}
    </div>
  );
}
