import Synchronization

/// What `auth_query` has answered, for a short time, and who waits for an answer. Thread-safe.
///
/// A user that does not exist is remembered like any other. One question per user is asked at a
/// time, and the number of questions is bounded, like the number of answers.
package final class RoleSecretTable: Sendable {
    package enum Answer: Sendable {
        /// Nil: no such user, or none that may log in.
        case secret(StoredSecret?)
        case unavailable
    }

    package typealias Receiver = @Sendable (Answer) -> Void

    private struct Entry {
        var secret: StoredSecret?
        var expiry: UInt64
    }

    private struct State {
        var answers: [ExactName: Entry] = [:]
        var waiting: [ExactName: [Receiver]] = [:]
        var waitingCount = 0
        /// Grows with `removeAll`: what was asked before is not remembered then.
        var generation: UInt64 = 0
    }

    private static let maximumAnswers = 4096
    private static let maximumWaiting = 1024

    private let state = Mutex(State())

    package init() {}

    /// How many clients wait for an answer.
    package var waitingCount: Int { state.withLock { $0.waitingCount } }

    /// What `find` has done.
    package enum Lookup: Sendable {
        case known(StoredSecret?)
        /// `receiver` will be called, since somebody has asked already.
        case waiting
        /// `receiver` will be called when the caller has asked and called `answered`.
        case ask(generation: UInt64)
        /// Too many wait.
        case refused
    }

    package func find(
        _ user: String, now: UInt64, receiver: @escaping Receiver
    ) -> Lookup {
        let name = ExactName(user)
        return state.withLock { state in
            if let entry = state.answers[name], entry.expiry > now { return .known(entry.secret) }
            guard state.waitingCount < Self.maximumWaiting else { return .refused }
            state.waitingCount += 1
            state.waiting[name, default: []].append(receiver)
            let isFirst = state.waiting[name]?.count == 1
            return isFirst ? .ask(generation: state.generation) : .waiting
        }
    }

    /// Passes an answer on to all who wait for it, and keeps it until `expiry`.
    package func answered(
        _ user: String, _ answer: Answer, generation: UInt64, expiry: UInt64, now: UInt64
    ) {
        let name = ExactName(user)
        let receivers = state.withLock { state in
            let receivers = state.waiting.removeValue(forKey: name) ?? []
            state.waitingCount -= receivers.count
            if case .secret(let secret) = answer, state.generation == generation, expiry > now {
                if state.answers.count >= Self.maximumAnswers {
                    state.answers = state.answers.filter { $0.value.expiry > now }
                }
                if state.answers.count >= Self.maximumAnswers { state.answers = [:] }
                state.answers[name] = Entry(secret: secret, expiry: expiry)
            }
            return receivers
        }
        for receiver in receivers { receiver(answer) }
    }

    /// Forgets one answer: a password that it does not fit may be a new one.
    package func forget(_ user: String) {
        state.withLock { state in _ = state.answers.removeValue(forKey: ExactName(user)) }
    }

    /// Forgets all answers: the question has changed.
    package func removeAll() {
        state.withLock { state in
            state.answers = [:]
            state.generation &+= 1
        }
    }
}
