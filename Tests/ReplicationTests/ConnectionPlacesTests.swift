import Synchronization
import Testing

@testable import Replication

@Suite("Places at the mirror port")
struct ConnectionPlacesTests {
    private let places = ConnectionPlaces(capacity: 2)
    private let turnedAway = TurnedAway()

    private final class TurnedAway: Sendable {
        let numbers = Mutex<[UInt64]>([])
    }

    private func comes(_ number: UInt64) -> Bool {
        places.take(number) { [turnedAway] in turnedAway.numbers.withLock { $0.append(number) } }
    }

    private var gone: [UInt64] { turnedAway.numbers.withLock { $0 } }

    @Test("Who has kept silent for longest makes room, and does not come back in")
    func silent() {
        let came = [comes(1), comes(2), comes(3)]
        #expect(came == [true, true, true] && gone == [1])
        let arrived = (places.introduced(1), places.introduced(2))
        #expect(arrived == (false, true))
        places.leave(1)
        let later = [comes(4), comes(5)]
        #expect(later == [true, true] && gone == [1, 3, 4])
    }

    @Test("Who has introduced himself stays, and makes room when he goes")
    func introduced() {
        for number in [1, 2] as [UInt64] {
            let hasPlace = comes(number) && places.introduced(number)
            #expect(hasPlace)
        }
        let cameTooMany = comes(3)
        #expect(!cameTooMany && gone == [])
        places.leave(3)
        places.leave(1)
        let came = [comes(4), comes(5)]
        #expect(came == [true, true] && gone == [4])
    }
}
