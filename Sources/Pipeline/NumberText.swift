/// Numbers in messages to people.
package enum NumberText {
    /// Six significant digits at most, without trailing zeros beyond the first: `812.4`, `20.0`, `0.000123`.
    package static func short(_ value: Double) -> String {
        guard value.isFinite, value != 0 else { return value == 0 ? "0.0" : value.description }
        var magnitude = 0
        var scaled = value.magnitude
        while scaled >= 10, magnitude < 308 { scaled /= 10; magnitude += 1 }
        while scaled < 1, magnitude > -308 { scaled *= 10; magnitude -= 1 }
        let digits = 5 - magnitude
        // Beyond these the powers of ten are not exact, and nobody reads such numbers digit by digit.
        guard (-16...20).contains(digits) else { return value.description }
        let factor = (0..<abs(digits)).reduce(1.0) { power, _ in power * 10 }
        let rounded = digits >= 0 ? (value * factor).rounded() / factor : (value / factor).rounded() * factor
        return rounded.isFinite ? rounded.description : value.description
    }

    /// `short` for both, unless that would show two different numbers alike.
    static func pair(_ left: Double, _ right: Double) -> (String, String) {
        let spelled = (short(left), short(right))
        return spelled.0 == spelled.1 && left != right ? (left.description, right.description) : spelled
    }

    /// `850ms`, `12.3s`, `4m 05s`, `2h 03m`, `3d 04h`.
    package static func duration(seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "?" }
        if seconds < 0.9995 { return "\(Int((seconds * 1_000).rounded()))ms" }
        if seconds < 59.95 { return ((seconds * 10).rounded() / 10).description + "s" }
        let whole = Int(seconds.rounded())
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        if whole < 3_600 { return "\(whole / 60)m \(two(whole % 60))s" }
        if whole < 86_400 { return "\(whole / 3_600)h \(two(whole / 60 % 60))m" }
        return "\(whole / 86_400)d \(two(whole / 3_600 % 24))h"
    }
}
