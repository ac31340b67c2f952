import SQLAnalysis
import Telemetry
import Testing

@testable import Session

@Suite("What ties a session to its connection")
struct SessionPinsTests {
    @Test(
        "Each effect ties, and its opposite unties at commit",
        arguments: [
            (
                SessionEffect.listen(channel: "a"), SessionEffect.unlisten(channel: "a"),
                PinReason.listen
            ),
            (.listen(channel: "a"), .unlisten(channel: nil), .listen),
            (.prepare(name: "a"), .deallocate(name: "a"), .sqlPrepare),
            (.prepare(name: "a"), .deallocate(name: nil), .sqlPrepare),
            (.holdCursor(name: "a"), .closeCursor(name: "a"), .heldCursor),
            (.holdCursor(name: "a"), .closeCursor(name: nil), .heldCursor),
            (.makeTemporaryObject, .discardTemporaryObjects, .temporaryObjects),
        ])
    func opposites(effect: SessionEffect, opposite: SessionEffect, reason: PinReason) {
        var pins = SessionPins()
        pins.sent(effect)
        #expect(pins.reasons == [reason])
        pins.completed(opposite)
        pins.transactionEnded(committed: false)
        #expect(pins.reasons == [reason], "rolled back, it holds")
        pins.completed(opposite)
        pins.transactionEnded(committed: nil)
        #expect(pins.reasons == [reason], "not known, it holds")
        pins.completed(opposite)
        pins.transactionEnded(committed: true)
        #expect(pins.isEmpty)
    }

    @Test("Of two opposites in one transaction the later one counts")
    func order() {
        var pins = SessionPins()
        pins.sent(.listen(channel: "a"))
        pins.completed(.unlisten(channel: "a"))
        pins.completed(.listen(channel: "a"))
        pins.transactionEnded(committed: true)
        #expect(pins.reasons == [.listen])
    }

    @Test("Locks and temporary objects are asked for; the answer unties")
    func asking() {
        var pins = SessionPins()
        pins.sent(.makeTemporaryObject)
        pins.sent(.takeSessionLock)
        #expect(pins.isWorthAsking)
        pins.questionSent()
        pins.asked(hasTemporaryObjects: true, hasLocks: true)
        #expect(!pins.isWorthAsking && pins.reasons.count == 2)
        pins.completed(.releaseSessionLock)
        pins.transactionEnded(committed: true)
        #expect(pins.isWorthAsking)
        pins.questionSent()
        // What is taken behind the question the answer says nothing of.
        pins.sent(.takeSessionLock)
        pins.asked(hasTemporaryObjects: false, hasLocks: false)
        #expect(pins.reasons == [.advisoryLock] && pins.isWorthAsking)
        pins.questionSent()
        pins.asked(hasTemporaryObjects: false, hasLocks: false)
        #expect(pins.isEmpty)
    }

    @Test("What is not understood holds until DISCARD ALL, and cannot be reset for others")
    func unknown() {
        var pins = SessionPins()
        pins.sent(.unknown)
        pins.completed(.deallocate(name: nil))
        pins.transactionEnded(committed: true)
        #expect(pins.reasons == [.unknownState] && !pins.canBeReset && !pins.isWorthAsking)
        pins.discarded()
        #expect(pins.isEmpty)
    }

    @Test("More names than are told apart are not understood")
    func bound() {
        var pins = SessionPins()
        for number in 0..<1_000 { pins.sent(.listen(channel: "\(number)")) }
        #expect(pins.reasons == [.listen, .unknownState])
    }
}
