import TestSupport
import Testing

@testable import ProxyConfiguration

@Suite("Key locator")
struct KeyLocatorTests {
    private let text = """
        top = 1 # comment with [brackets] and "quotes"
        [cache]
          memory = "256MB"

        "quoted key" = 'literal = "x"'
        a.b . "c" = { d = 1, "e" = [ 2, { f = 3 } ] }
        list = [
          "one", # ] in a comment
          "tw]o",
        ]
        long = \"\"\"
        fake = 1
        [fake]
        \"\"\"
        after = true
        [[rule]]
        tables = ["x"]
        [[rule]]
        ttl = "1h"
        [rule.more]
        key = 1
        [ deep . 'er' ]
        last = '''
        x = 1'''
        end = "a\\"b = 1"
        """

    @Test("Keys are found in tables, arrays of tables, dotted and quoted, past every kind of value")
    func finds() {
        let locator = KeyLocator(text)
        func line(_ steps: KeyLocator.Step...) -> Int? { locator.line(of: steps) }
        #expect(line(.key("top")) == 1)
        #expect(line(.key("cache")) == 2)
        #expect(line(.key("cache"), .key("memory")) == 3)
        #expect(line(.key("cache"), .key("quoted key")) == 5)
        #expect(line(.key("cache"), .key("a"), .key("b"), .key("c")) == 6)
        #expect(line(.key("cache"), .key("a"), .key("b"), .key("c"), .key("d")) == 6)
        #expect(line(.key("cache"), .key("list"), .index(1)) == 9)
        #expect(line(.key("cache"), .key("long")) == 11)
        #expect(line(.key("fake")) == nil)
        #expect(line(.key("cache"), .key("after")) == 15)
        #expect(line(.key("rule"), .index(0), .key("tables")) == 17)
        #expect(line(.key("rule"), .index(1)) == 18)
        #expect(line(.key("rule"), .index(1), .key("ttl")) == 19)
        #expect(line(.key("rule"), .index(1), .key("more"), .key("key")) == 21)
        #expect(line(.key("deep"), .key("er"), .key("last")) == 23)
        #expect(line(.key("deep"), .key("er"), .key("end")) == 25)
    }

    @Test("A key that is absent is located at the closest table around it")
    func closest() {
        let locator = KeyLocator(text)
        #expect(locator.line(of: [.key("cache"), .key("absent")]) == 2)
        #expect(locator.line(of: [.key("rule"), .index(1), .key("absent")]) == 18)
        #expect(locator.line(of: [.key("absent")]) == nil)
    }

    @Test("Any text at all is scanned to its end")
    func arbitraryText() {
        var random = SeededGenerator(seed: 9630)
        let alphabet = Array("[]{}=.,#\"'\\\n ab1é".unicodeScalars)
        for _ in 0..<5000 {
            var text = ""
            for _ in 0..<Int.random(in: 0...40, using: &random) {
                text.unicodeScalars.append(alphabet.randomElement(using: &random) ?? "a")
            }
            let lines = text.utf8.filter { $0 == UInt8(ascii: "\n") }.count + 1
            if let line = KeyLocator(text).line(of: [.key("a")]) {
                #expect((1...lines).contains(line))
            }
        }
    }
}
