import { useState } from "react";
import { isShown } from "../format/product";
import { useShop } from "../live/ShopContext";
import styles from "./ProductPicture.module.css";

/** A product's picture, where its host is one that the page may load from; nothing where it cannot be loaded. */
export function ProductPicture({ url, large = false }: { url: string | null; large?: boolean }) {
  const { imageHosts } = useShop();
  const [failed, setFailed] = useState<string | null>(null);
  if (url === null || url === failed || !isShown(url, imageHosts)) return null;
  return (
    <img
      className={styles.picture}
      data-large={large}
      data-testid="picture"
      src={url}
      alt=""
      loading="lazy"
      decoding="async"
      onError={() => {
        setFailed(url);
      }}
    />
  );
}
