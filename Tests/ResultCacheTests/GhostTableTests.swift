import TestSupport
import Testing

@testable import ResultCache

@Suite("Ghost table")
struct GhostTableTests {
    // `#expect` cannot look into a value that cannot be copied.
    private func isRemembered(_ hash: UInt64, by ghosts: inout GhostTable) -> Bool {
        ghosts.remove(hash)
    }

    @Test("It remembers what left recently, once")
    func remembers() {
        var ghosts = GhostTable(capacity: 64)
        #expect(!isRemembered(5, by: &ghosts))
        ghosts.insert(5)
        ghosts.insert(0)
        #expect(isRemembered(5, by: &ghosts))
        #expect(!isRemembered(5, by: &ghosts))
        #expect(isRemembered(0, by: &ghosts))
        #expect(!isRemembered(0, by: &ghosts))
    }

    @Test("It forgets what left longer ago than its capacity")
    func forgets() {
        var ghosts = GhostTable(capacity: 64)
        ghosts.insert(1)
        // All of these belong to groups other than that of 1, so only age can make it forget.
        for number in 0..<65 { ghosts.insert(UInt64(number * 16 + 2)) }
        #expect(!isRemembered(1, by: &ghosts))
    }

    @Test("A full group gives up its oldest")
    func crowded() {
        var ghosts = GhostTable(capacity: 16)
        for number in 0..<5 { ghosts.insert(UInt64(number * 4)) }
        #expect(!isRemembered(0, by: &ghosts))
        for number in 1..<5 { #expect(isRemembered(UInt64(number * 4), by: &ghosts)) }
    }

    @Test("Growing keeps what it remembers")
    func resizing() {
        var ghosts = GhostTable(capacity: 64)
        var generator = SeededGenerator(seed: 1)
        let hashes = (0..<16).map { _ in generator.next() }
        for hash in hashes { ghosts.insert(hash) }
        ghosts = ghosts.resized(to: 256)
        let capacity = ghosts.capacity
        #expect(capacity == 256)
        for hash in hashes { #expect(isRemembered(hash, by: &ghosts)) }
    }

    @Test("Without capacity it remembers nothing")
    func empty() {
        var ghosts = GhostTable(capacity: 0)
        ghosts.insert(1)
        #expect(!isRemembered(1, by: &ghosts))
        ghosts.insert(2)
        ghosts = ghosts.resized(to: 16)
        #expect(!isRemembered(2, by: &ghosts))
    }
}
