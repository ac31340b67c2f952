/// A memo of bounded size that forgets what was not asked for lately.
///
/// Two generations: a hit in the old one moves the entry to the young one; when the young one is
/// half of the limit, it becomes the old one and the old one is forgotten. Costs no list and no
/// clock, and keeps whatever is in use.
struct BoundedMemo<Key: Hashable, Value> {
    private let maximumCount: Int
    private let maximumBytes: Int
    private var young: [Key: (value: Value, bytes: Int)] = [:]
    private var old: [Key: (value: Value, bytes: Int)] = [:]
    private var youngBytes = 0

    init(maximumCount: Int, maximumBytes: Int) {
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
    }

    var count: Int { young.count + old.count }

    mutating func value(for key: Key) -> Value? {
        if let entry = young[key] { return entry.value }
        guard let entry = old.removeValue(forKey: key) else { return nil }
        add(entry.value, bytes: entry.bytes, for: key)
        return entry.value
    }

    mutating func add(_ value: Value, bytes: Int, for key: Key) {
        guard bytes <= maximumBytes / 2 else { return }
        if let previous = young.updateValue((value, bytes), forKey: key) {
            youngBytes -= previous.bytes
        }
        youngBytes += bytes
        if young.count * 2 > maximumCount || youngBytes * 2 > maximumBytes {
            old = young
            young = [:]
            youngBytes = 0
        }
    }
}
