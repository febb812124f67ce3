import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Transaction;

/**
 * The peer in Kafka Streams, exactly-once v2: sums by month, day, category, product and customer in Redis.
 *
 * <p>`java SalesTables BROKER TOPIC REDIS_URL STATE_FOLDER`. Each task sums its partition, without repartitioning, in a
 * cached in-memory store with a changelog, and reads its own copy of the sums. Once a second it writes what has changed
 * into Redis, as absolute values under the partition's own keys; readers sum over partitions. After a crash the store is
 * as of the last commit, and all of it is written once.
 */
public final class SalesTables {
    private static final String STORE = "sums";
    private static final Duration EVERY = Duration.ofSeconds(1);

    /** What is used of an event. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    record Event(
            String event_time,
            String product_id,
            String user_id,
            String category_code,
            String price,
            String quantity,
            String amount) {}

    /** Revenue in cents, and pieces. */
    record Sums(long revenue, long quantity) {
        private static final Sums NONE = new Sums(0, 0);

        Sums plus(long cents, long pieces) {
            return new Sums(revenue + cents, quantity + pieces);
        }
    }

    private static final Serde<Sums> SUMS = Serdes.serdeFrom(
            (topic, sums) -> ByteBuffer.allocate(16).putLong(sums.revenue).putLong(sums.quantity).array(),
            (topic, bytes) -> {
                ByteBuffer buffer = ByteBuffer.wrap(bytes);
                return new Sums(buffer.getLong(), buffer.getLong());
            });

    /** Sums one partition. */
    private static final class Summing extends ContextualProcessor<byte[], byte[], Void, Void> {
        private final ObjectReader reader = new ObjectMapper().readerFor(Event.class);
        private final Jedis redis;
        private final Map<String, Sums> known = new HashMap<>();
        private final Set<String> changed = new HashSet<>();
        private KeyValueStore<String, Sums> store;
        private long next;

        private Summing(String url) {
            redis = new Jedis(url);
        }

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            super.init(context);
            store = context.getStateStore(STORE);
            try (KeyValueIterator<String, Sums> restored = store.all()) {
                restored.forEachRemaining(entry -> known.put(entry.key, entry.value));
            }
            changed.addAll(known.keySet());
            context.schedule(EVERY, PunctuationType.WALL_CLOCK_TIME, now -> write());
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            Event event = parse(record.value());
            long pieces = event.quantity == null ? 1 : Long.parseLong(event.quantity);
            long cents = event.amount == null ? cents(event.price) * pieces : cents(event.amount);
            add("month|" + event.event_time.substring(0, 7), cents, pieces);
            add("day|" + event.event_time.substring(0, 10), cents, pieces);
            add("product|" + event.product_id, cents, pieces);
            if (event.user_id != null) {
                add("customer|" + event.user_id, cents, pieces);
            }
            String code = event.category_code == null ? "unknown" : event.category_code;
            for (int dot = code.indexOf('.'); dot >= 0; dot = code.indexOf('.', dot + 1)) {
                add("category|" + code.substring(0, dot), cents, pieces);
            }
            add("category|" + code, cents, pieces);
            next = context().recordMetadata().orElseThrow().offset() + 1;
        }

        private Event parse(byte[] value) {
            try {
                return reader.readValue(value);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        private void add(String counter, long cents, long pieces) {
            Sums sums = known.getOrDefault(counter, Sums.NONE).plus(cents, pieces);
            known.put(counter, sums);
            store.put(counter, sums);
            changed.add(counter);
        }

        private void write() {
            if (changed.isEmpty()) {
                return;
            }
            int partition = context().taskId().partition();
            Map<String, Map<String, String>> tables = new HashMap<>();
            changed.forEach(counter -> {
                Sums sums = known.get(counter);
                int bar = counter.indexOf('|');
                Map<String, String> fields =
                        tables.computeIfAbsent(counter.substring(0, bar) + ":" + partition, table -> new HashMap<>());
                fields.put("r" + counter.substring(bar), Long.toString(sums.revenue));
                fields.put("q" + counter.substring(bar), Long.toString(sums.quantity));
            });
            changed.clear();
            try (Transaction transaction = redis.multi()) {
                tables.forEach(transaction::hset);
                transaction.hset("offsets", Integer.toString(partition), Long.toString(next));
                transaction.exec();
            }
        }

        @Override
        public void close() {
            redis.close();
        }
    }

    private static long cents(String decimal) {
        return new BigDecimal(decimal).movePointRight(2).longValueExact();
    }

    public static void main(String[] arguments) {
        String broker = arguments[0], topic = arguments[1], folder = arguments[2];
        String url = System.getenv("PEER_REDIS_URL"); // with its password, so no argument
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), Serdes.String(), SUMS)
                .withCachingEnabled());
        builder.stream(topic, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .process(() -> new Summing(url), STORE);
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-streams");
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, broker);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, EVERY.toMillis());
        properties.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64 << 20);
        properties.put("auto.offset.reset", "earliest");
        KafkaStreams streams = new KafkaStreams(builder.build(), properties);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }
}
