import Testing

@testable import ProxyConfiguration

@Suite("Durations")
struct DurationTextTests {
    @Test(
        "A number and a unit are read",
        arguments: [
            ("0", 0), ("250ms", 250), ("5s", 5000), ("5m", 300_000), ("5min", 300_000),
            ("1h", 3_600_000), ("2d", 172_800_000), ("10 s", 10_000),
        ])
    func reads(text: String, milliseconds: Int) {
        #expect(Duration(configurationText: text) == .milliseconds(milliseconds))
    }

    @Test(
        "Anything else is refused",
        arguments: [
            "", "5", "s", "-5s", "1.5s", "5S", "5 ", " 5s", "5 minutes", "5us", "1h30m",
            "9223372036854775807d",
        ])
    func refuses(text: String) {
        #expect(Duration(configurationText: text) == nil)
    }

    @Test("What is printed reads back as the same duration")
    func roundTrip() {
        for milliseconds in [0, 1, 999, 1000, 1500, 60_000, 90_000, 3_600_000, 86_400_000] {
            let duration = Duration.milliseconds(milliseconds)
            #expect(Duration(configurationText: duration.configurationText) == duration)
        }
        #expect(Duration.seconds(300).configurationText == "5m")
        #expect(Duration.seconds(90).configurationText == "90s")
    }
}
