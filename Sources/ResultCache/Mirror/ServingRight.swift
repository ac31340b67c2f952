import Mutants
import Synchronization

/// Whether this node may answer from memory, and up to where what it holds is known to be good.
///
/// A node that follows no other may always, unless its leadership says otherwise. A mirror may while
/// it holds a lease: its answers are then no older than that. Read for every hit, so all of it is
/// atomic words.
package final class ServingRight: Sendable {
    /// Nanoseconds of the monotonic clock; `.max` where there is no end to it.
    private let end: Atomic<UInt64>
    private let epoch: Atomic<UInt64>
    private let index: Atomic<UInt64>
    private let following: Atomic<Bool>

    package init() {
        end = Atomic(.max)
        epoch = Atomic(0)
        index = Atomic(0)
        following = Atomic(false)
    }

    /// Whether there is an end to it, so that a clock has to be read.
    package var isLimited: Bool { end.load(ordering: .sequentiallyConsistent) != .max }

    /// Whether answers come from another node's cache, and misses go to that node.
    package var isFollowing: Bool { following.load(ordering: .relaxed) }

    /// When it ends.
    package var deadline: UInt64 { end.load(ordering: .sequentiallyConsistent) }

    /// Whether what was found before the clock was read may be answered, to somebody who has seen
    /// what was committed up to `seen`.
    ///
    /// The clock has to be read after the entry was found: whoever is stopped in between must not
    /// use what has meanwhile been overtaken.
    package func covers(now: UInt64, seen: MirrorLog.Position) -> Bool {
        if Mutant.mirrorIgnoresLease.isActive { return true }
        guard now < end.load(ordering: .sequentiallyConsistent) else { return false }
        guard seen.index != 0, isFollowing, !Mutant.seenIsIgnored.isActive else { return true }
        // The end is looked at again: a mirror that begins anew in between has given up its right
        // before it changes the other two.
        return epoch.load(ordering: .sequentiallyConsistent) == seen.epoch
            && index.load(ordering: .sequentiallyConsistent) >= seen.index
            && now < end.load(ordering: .sequentiallyConsistent)
    }

    /// Whether what is mirrored is of this epoch.
    package func isOf(epoch: UInt64) -> Bool {
        isFollowing && self.epoch.load(ordering: .sequentiallyConsistent) == epoch
    }

    /// Whether it lasts longer than until `instant`, as far as is known.
    package func lasts(beyond instant: UInt64) -> Bool {
        deadline > instant || Mutant.takeOverKeepsExpiredMirror.isActive
    }

    /// Whether a write may be sent to the database: not by a node that may not lead any more.
    package func mayWrite(now: UInt64) -> Bool {
        isFollowing || now < end.load(ordering: .sequentiallyConsistent)
    }

    /// A mirror has begun anew: it may not serve before it is told so.
    package func follow(_ position: MirrorLog.Position) {
        end.store(0, ordering: .sequentiallyConsistent)
        following.store(true, ordering: .sequentiallyConsistent)
        epoch.store(position.epoch, ordering: .sequentiallyConsistent)
        index.store(position.index, ordering: .sequentiallyConsistent)
    }

    /// A mirror has applied all up to `index`.
    package func applied(_ index: UInt64) {
        self.index.store(index, ordering: .sequentiallyConsistent)
    }

    /// It lasts until then.
    package func extend(to deadline: UInt64) {
        end.store(deadline, ordering: .sequentiallyConsistent)
    }

    /// It has ended.
    package func revoke() {
        end.store(0, ordering: .sequentiallyConsistent)
    }

    /// The node leads from now on.
    package func lead(until deadline: UInt64 = .max) {
        // A mirror's right is not that of a node that leads: it ends first.
        if isFollowing { revoke() }
        following.store(false, ordering: .sequentiallyConsistent)
        end.store(deadline, ordering: .sequentiallyConsistent)
    }
}
