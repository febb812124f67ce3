import type { Product } from "../../api/types";
import { formatCount } from "../../format/numbers";
import { categoryPath, known, productTitle } from "../../format/product";
import { useMoney } from "../../live/ShopContext";
import { CopyableId } from "../../ui/CopyableId";
import { Panel } from "../../ui/Panel";
import styles from "./ProductFacts.module.css";

/** What the newest purchase said of a product, and what it has sold. */
export function ProductFacts({ product }: { product: Product }) {
  const money = useMoney();
  const facts: [name: string, value: string][] = [
    ["Category", categoryPath(product.category_code)],
    ["Brand", known(product.brand) ?? "unknown"],
    ["Price", product.price === null ? "unknown" : money.exact(product.price)],
    ["Revenue", money.exact(product.revenue)],
    ["Pieces", formatCount(product.quantity)],
    ["Orders", formatCount(product.orders)],
  ];
  return (
    <Panel title={productTitle(product)} note={<CopyableId id={product.product_id} what="product id" />}>
      <dl className={`${styles.facts} number`} data-testid="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}
