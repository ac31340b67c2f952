/// Remembers the hashes of entries that left not long ago: one of them that comes back is
/// evidently read more than once. The ghost queue of S3-FIFO, kept as its authors do: a table of
/// fingerprint and time of leaving, where time is the number of entries that have left, instead
/// of a queue. Owned by one shard, used under its lock.
///
/// A false positive puts an entry into the main queue too early, a false negative too late;
/// neither affects an answer.
struct GhostTable: ~Copyable {
    private static let associativity = 4

    /// Fingerprint in the high half, time of leaving in the low half; zero is empty.
    private var words: UnsafeMutableBufferPointer<UInt64>
    private var clock: UInt32 = 1

    /// - Parameter capacity: a power of two, at least 4, or 0 for a table that remembers nothing.
    init(capacity: Int) {
        words = .allocate(capacity: capacity)
        words.initialize(repeating: 0)
    }

    deinit {
        words.deallocate()
    }

    var capacity: Int { words.count }

    mutating func insert(_ hash: UInt64) {
        guard !words.isEmpty else { return }
        clock &+= 1
        place(Self.fingerprint(hash), time: clock)
    }

    /// Whether `hash` left within the last `capacity` departures. Forgets it.
    mutating func remove(_ hash: UInt64) -> Bool {
        guard !words.isEmpty else { return false }
        let fingerprint = Self.fingerprint(hash)
        for index in group(of: fingerprint) where words[index] >> 32 == fingerprint {
            let isRecent = words[index] != 0 && age(words[index]) <= UInt64(words.count)
            words[index] = 0
            return isRecent
        }
        return false
    }

    /// The same memories in a table of another size.
    func resized(to capacity: Int) -> GhostTable {
        var table = GhostTable(capacity: capacity)
        table.clock = clock
        guard capacity > 0 else { return table }
        for word in words where word != 0 {
            table.place(word >> 32, time: UInt32(truncatingIfNeeded: word))
        }
        return table
    }

    private mutating func place(_ fingerprint: UInt64, time: UInt32) {
        var oldest: (index: Int, age: UInt64)?
        for index in group(of: fingerprint) {
            let word = words[index]
            if word == 0 || word >> 32 == fingerprint {
                oldest = (index, .max)
                break
            }
            if age(word) >= oldest?.age ?? 0 { oldest = (index, age(word)) }
        }
        if let oldest { words[oldest.index] = fingerprint << 32 | UInt64(time) }
    }

    private func age(_ word: UInt64) -> UInt64 {
        UInt64(clock &- UInt32(truncatingIfNeeded: word))
    }

    private static func fingerprint(_ hash: UInt64) -> UInt64 { hash & 0xFFFF_FFFF }

    private func group(of fingerprint: UInt64) -> Range<Int> {
        let groups = words.count / Self.associativity
        let first = Int(fingerprint) & (groups - 1)
        return first * Self.associativity..<(first + 1) * Self.associativity
    }
}
