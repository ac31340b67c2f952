/// Everything that running a piece of the database's code may do besides computing its result.
///
/// A superset: what could not be seen through is in `behaviour` as `.mayWrite`.
package struct FunctionEffects: Hashable, Sendable {
    /// More targets than this are not told apart: the code may write anything.
    static let maximumTargets = 256

    package private(set) var behaviour: FunctionBehaviour
    /// The relations that it changes, triggers and foreign keys not followed. A name without a
    /// schema stands for the relations of that name in every schema: which one is meant depends on
    /// the path, the user and the settings of whoever runs the code.
    package private(set) var writes: Set<WriteTarget>

    package init(_ behaviour: FunctionBehaviour = [], writes: Set<WriteTarget> = []) {
        self.behaviour = behaviour
        self.writes = writes
        boundTargets()
    }

    /// What code does by its own statements.
    ///
    /// - Parameter targets: what these change; nil where that is not known.
    init(of words: FunctionBodyScanner.Words, _ targets: Set<WriteTarget>?) {
        guard let targets else {
            self.init(words.unexplained)
            return
        }
        var behaviour = words.behaviour
        // SELECT … FOR UPDATE has this word.
        if words.changes["update"] != nil { behaviour.insert(.takesLocks) }
        self.init(behaviour, writes: targets)
    }

    package static let opaque = FunctionEffects(.opaque)

    package var isEmpty: Bool { behaviour.isEmpty && writes.isEmpty }

    package func contains(_ behaviour: FunctionBehaviour) -> Bool {
        self.behaviour.contains(behaviour)
    }

    package mutating func insert(_ behaviour: FunctionBehaviour) {
        self.behaviour.insert(behaviour)
        boundTargets()
    }

    /// Returns whether anything was added.
    @discardableResult
    package mutating func formUnion(_ other: FunctionEffects) -> Bool {
        let before = (behaviour, writes.count)
        behaviour.formUnion(other.behaviour)
        if !behaviour.contains(.mayWrite), !other.writes.isEmpty { writes.formUnion(other.writes) }
        boundTargets()
        return before != (behaviour, writes.count)
    }

    /// Code that may write anything has no targets: the fixed points over effects stay small.
    private mutating func boundTargets() {
        if writes.count > Self.maximumTargets { behaviour.insert(.mayWrite) }
        if behaviour.contains(.mayWrite), !writes.isEmpty { writes = [] }
    }
}
