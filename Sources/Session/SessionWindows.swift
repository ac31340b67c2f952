import SQLAnalysis

/// The write windows that one session has open, each with the segment whose end closes it.
///
/// The one place that holds them: a window leaves it to be closed, or to be handed to the
/// coordinator. What becomes of segments and of the replies owed cannot make a window be forgotten.
/// Almost always one or none, hence an array. Confined to the session's event loop.
struct SessionWindows {
    private var open: [(segment: ForwardedSegment, window: OpenWindow)] = []
    /// What the newest of them covers.
    private var newest: (segment: ForwardedSegment, writes: WriteSet, catalogVersion: UInt64)?

    /// Whether the newest window covers exactly this: a pipeline may write the same many times.
    func covers(
        _ writes: WriteSet, catalogVersion: UInt64, in segment: ForwardedSegment
    ) -> Bool {
        guard let newest, newest.segment === segment else { return false }
        return newest.catalogVersion == catalogVersion && newest.writes == writes
    }

    mutating func noteNewest(
        _ writes: WriteSet, catalogVersion: UInt64, in segment: ForwardedSegment
    ) {
        newest = (segment, writes, catalogVersion)
    }

    var isEmpty: Bool { open.isEmpty }

    /// The segments that have windows, each once, in the order in which they were opened.
    var segments: [ForwardedSegment] {
        var found: [ForwardedSegment] = []
        for (segment, _) in open where !found.contains(where: { $0 === segment }) {
            found.append(segment)
        }
        return found
    }

    func covers(_ segment: ForwardedSegment) -> Bool {
        open.contains { $0.segment === segment }
    }

    mutating func add(_ window: OpenWindow, of segment: ForwardedSegment) {
        open.append((segment, window))
    }

    /// Takes out the windows of `segment`: they are the caller's to close.
    mutating func take(of segment: ForwardedSegment) -> [OpenWindow] {
        guard !open.isEmpty else { return [] }
        if newest?.segment === segment { newest = nil }
        let taken = open.filter { $0.segment === segment }.map(\.window)
        open.removeAll { $0.segment === segment }
        return taken
    }

    /// Takes out whatever is open: it is the caller's to close.
    mutating func takeAll() -> [OpenWindow] {
        newest = nil
        defer { open = [] }
        return open.map(\.window)
    }
}
