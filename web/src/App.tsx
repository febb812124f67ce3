import { LiveProvider } from "./live/LiveContext";
import { ShopProvider } from "./live/ShopContext";
import { Header } from "./panels/Header";
import { StreamBanner } from "./panels/StreamBanner";
import { Overview } from "./views/Overview";

/** The frame that every view shares: the stream, the shop's settings, the header. */
export function App() {
  return (
    <ShopProvider>
      <LiveProvider>
        <Header />
        <StreamBanner />
        <Overview />
      </LiveProvider>
    </ShopProvider>
  );
}
