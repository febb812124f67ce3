import type { Product } from "../../api/types";
import { formatCount } from "../../format/numbers";
import { categoryPath, known, productTitle, stockText } from "../../format/product";
import { useMoney } from "../../live/ShopContext";
import { CopyableId } from "../../ui/CopyableId";
import { Panel } from "../../ui/Panel";
import { ProductPicture } from "../../ui/ProductPicture";
import styles from "./ProductFacts.module.css";

/** What the catalogue or the newest purchase says of a product, and what it has sold. */
export function ProductFacts({ product }: { product: Product }) {
  const money = useMoney();
  const facts: [name: string, value: string][] = [
    ["Category", categoryPath(product.category_code)],
    ["Brand", known(product.brand) ?? "unknown"],
    ["Price", product.price === null ? "unknown" : money.exact(product.price)],
    ["Revenue", money.exact(product.revenue)],
    ["Pieces", formatCount(product.quantity)],
    ["Orders", formatCount(product.orders)],
    ...Object.entries(product.attributes),
  ];
  return (
    <Panel title={productTitle(product)} note={<CopyableId id={product.product_id} what="product id" />}>
      <ProductPicture url={product.image_url ?? null} large />
      {product.availability !== null && (
        <p className={styles.stock} data-testid="stock" data-sold={product.availability === "in_stock"}>
          {stockText(product.availability)}
        </p>
      )}
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
