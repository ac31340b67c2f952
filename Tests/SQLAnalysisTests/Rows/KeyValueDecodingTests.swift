import SQLAnalysis
import Testing

@Suite("KeyValue, from parameters")
struct KeyValueDecodingTests {
    private func text(_ text: String, _ type: KeyType) -> KeyValue? {
        Array(text.utf8).withUnsafeBytes { KeyValue(text: $0, as: type) }
    }

    private func binary(_ bytes: [UInt8], _ type: KeyType) -> KeyValue? {
        bytes.withUnsafeBytes { KeyValue(binary: $0, as: type) }
    }

    private func textElements(_ text: String, _ type: KeyType) -> [KeyValue]? {
        Array(text.utf8).withUnsafeBytes { KeyValue.elements(text: $0, as: type) }
    }

    private func binaryElements(_ bytes: [UInt8], _ type: KeyType) -> [KeyValue]? {
        bytes.withUnsafeBytes { KeyValue.elements(binary: $0, as: type) }
    }

    @Test(
        "integers in text are digits, whatever their zeros",
        arguments: [
            ("0", 0), ("-0", 0), ("7", 7), ("007", 7), ("-42", -42),
            ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("0000000000000000001", 1),
        ] as [(String, Int64)])
    func integers(spelling: String, value: Int64) {
        #expect(text(spelling, .integer(width: 8)) == .integer(value))
    }

    @Test(
        "integers in any other text are not read",
        arguments: [
            "", "-", "--1", "+1", " 1", "1 ", "1\n", "1.0", "1e3", "0x10", "1_000", "\u{FF11}",
            "9223372036854775808", "-9223372036854775809", "99999999999999999999",
            "00000000000000000001", "NaN", "1\0",
        ])
    func otherIntegers(spelling: String) {
        #expect(text(spelling, .integer(width: 8)) == nil)
    }

    @Test("integers in binary have their sign and exactly their width")
    func binaryIntegers() {
        #expect(binary([0xFF, 0xFE], .integer(width: 2)) == .integer(-2))
        #expect(binary([0, 1], .integer(width: 2)) == .integer(1))
        #expect(binary([0x80, 0, 0, 0], .integer(width: 4)) == .integer(Int64(Int32.min)))
        #expect(
            binary([0x80, 0, 0, 0, 0, 0, 0, 0], .integer(width: 8)) == .integer(.min))
        #expect(
            binary([0, 0, 0, 0, 0, 0, 0, 5], .integer(width: 8))
                == binary([0, 5], .integer(width: 2)))
        for width in [2, 4, 8] {
            for length in 0...9 where length != width {
                #expect(binary(Array(repeating: 0, count: length), .integer(width: width)) == nil)
            }
        }
        #expect(binary([1, 2, 3], .integer(width: 3)) == nil)
    }

    @Test("booleans are what drivers send, in lower case")
    func booleans() {
        for spelling in ["t", "true", "1"] { #expect(text(spelling, .boolean) == .boolean(true)) }
        for spelling in ["f", "false", "0"] { #expect(text(spelling, .boolean) == .boolean(false)) }
        for spelling in ["", "T", "TRUE", "yes", "on", "tru", " t", "2"] {
            #expect(text(spelling, .boolean) == nil)
        }
        #expect(binary([1], .boolean) == .boolean(true))
        #expect(binary([0], .boolean) == .boolean(false))
        for bytes in [[], [2], [0, 1]] as [[UInt8]] { #expect(binary(bytes, .boolean) == nil) }
    }

    @Test(
        "dates in text are days of the calendar, counted as the server does",
        arguments: [
            ("2000-01-01", 0), ("1999-12-31", -1), ("2000-02-29", 59), ("2000-03-01", 60),
            ("2024-02-29", 8825), ("1970-01-01", -10957), ("1000-01-01", -365242),
            ("9999-12-31", 2_921_939), ("2023-12-31", 8765),
        ] as [(String, Int32)])
    func dates(spelling: String, days: Int32) {
        #expect(text(spelling, .date) == .date(days))
    }

    @Test(
        "other dates are not read",
        arguments: [
            "2023-02-29", "1900-02-29", "2000-00-01", "2000-13-01", "2000-01-00", "2000-01-32",
            "2000-04-31", "0999-12-31", "2000-1-1", "20000101", "01/02/2000", "2000-01-01 BC",
            "today", "infinity", " 2000-01-01", "2000-01-01 ", "10000-01-01", "2000/01/01", "",
        ])
    func otherDates(spelling: String) {
        #expect(text(spelling, .date) == nil)
    }

    @Test("each day has the number of the day before and one")
    func consecutiveDays() {
        var expected = Int32(-36524)
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        for year in 1900...2105 {
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            for month in 1...12 {
                for day in 1...(lengths[month - 1] + (isLeap && month == 2 ? 1 : 0)) {
                    let spelling = "\(year)-\(padded(month))-\(padded(day))"
                    #expect(text(spelling, .date) == .date(expected))
                    expected += 1
                }
            }
        }
    }

    @Test("dates in binary are four bytes")
    func binaryDates() {
        #expect(binary([0xFF, 0xFF, 0xFF, 0xFF], .date) == .date(-1))
        #expect(binary([0, 0, 0], .date) == nil)
        #expect(binary([0, 0, 0, 0, 0, 0, 0, 0], .date) == nil)
    }

    @Test("uuids are 36 characters in either case, or 16 bytes")
    func uuids() {
        let bytes: [UInt8] = [
            0xA0, 0xEE, 0xBC, 0x99, 0x9C, 0x0B, 0x4E, 0xF8, 0xBB, 0x6D, 0x6B, 0xB9, 0xBD, 0x38,
            0x0A, 0x11,
        ]
        let spelling = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
        #expect(text(spelling, .uuid) == .uuid(bytes))
        #expect(text(spelling.uppercased(), .uuid) == .uuid(bytes))
        #expect(binary(bytes, .uuid) == .uuid(bytes))
        #expect(binary(Array(bytes.dropLast()), .uuid) == nil)
        for other in [
            "{\(spelling)}", spelling.replacing("-", with: ""), spelling + " ",
            spelling.replacing("a0", with: "g0"), "a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eebc99--c0b-4ef8-bb6d-6bb9bd380a11", "",
        ] {
            #expect(text(other, .uuid) == nil)
        }
    }

    @Test("text is its bytes")
    func texts() {
        #expect(text("", .text) == .text([]))
        #expect(text("é ", .text) == .text(Array("é ".utf8)))
        #expect(binary([0x61, 0x20], .text) == .text([0x61, 0x20]))
    }

    @Test("arrays in text are plain lists of integers or uuids")
    func textArrays() {
        let integer = KeyType.integer(width: 4)
        #expect(textElements("{}", integer) == [])
        #expect(textElements("{1}", integer) == [.integer(1)])
        #expect(textElements("{1,-2,3}", integer) == [.integer(1), .integer(-2), .integer(3)])
        let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
        #expect(textElements("{\(uuid),\(uuid)}", .uuid)?.count == 2)
        for other in [
            "", "{", "}", "1", "{1", "1}", "{1,}", "{,1}", "{,}", "{1 ,2}", "{ 1}", "{\"1\"}",
            "{{1}}", "{NULL}", "[0:1]={1,2}", "{1;2}", "{1}}",
        ] {
            #expect(textElements(other, integer) == nil, "\(other)")
        }
        #expect(textElements("{a}", .text) == nil)
        #expect(textElements("{t}", .boolean) == nil)
        let many = "{" + (0..<64).map { "\($0)" }.joined(separator: ",")
        #expect(textElements(many + "}", integer)?.count == 64)
        #expect(textElements(many + ",64}", integer) == nil)
    }

    /// The words of an array's header, then its elements.
    private func array(_ words: [Int32], _ elements: [[UInt8]?]) -> [UInt8] {
        func bytes(_ word: Int32) -> [UInt8] { withUnsafeBytes(of: word.bigEndian) { Array($0) } }
        return words.flatMap(bytes)
            + elements.flatMap { $0.map { bytes(Int32($0.count)) + $0 } ?? bytes(-1) }
    }

    @Test("arrays in binary have one dimension, and their NULLs are no keys")
    func binaryArrays() {
        let integer = KeyType.integer(width: 4)
        let header: [Int32] = [1, 0, 23, 2, 1]
        let whole = array(header, [[0, 0, 0, 5], [0, 0, 0, 6]])
        #expect(binaryElements(whole, integer) == [.integer(5), .integer(6)])
        #expect(binaryElements(array([0, 0, 23], []), integer) == [])
        #expect(
            binaryElements(array([1, 1, 23, 2, 1], [nil, [0, 0, 0, 6]]), integer) == [.integer(6)])
        #expect(
            binaryElements(array([1, 0, 25, 2, 1], [[0x61], []]), .text)
                == [.text([0x61]), .text([])])
        for length in 0..<whole.count {
            #expect(binaryElements(Array(whole.prefix(length)), integer) == nil)
        }
        #expect(binaryElements(whole + [0], integer) == nil)
        #expect(binaryElements(whole, .integer(width: 8)) == nil)
        #expect(binaryElements(array([2, 0, 23, 1, 1, 1, 1], [[0, 0, 0, 5]]), integer) == nil)
        #expect(binaryElements(array([1, 0, 23, -1, 1], []), integer) == nil)
        #expect(binaryElements(array([1, 0, 23, .max, 1], []), integer) == nil)
        #expect(binaryElements(array([1, 0, 23, 1, 1, -2], []), integer) == nil)
        let element: [UInt8]? = [0, 0, 0, 1]
        for (count, isRead) in [(64, true), (65, false)] {
            let bytes = array(
                [1, 0, 23, Int32(count), 1], Array(repeating: element, count: count))
            #expect((binaryElements(bytes, integer) != nil) == isRead)
        }
    }
}
