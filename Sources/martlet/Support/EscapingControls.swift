extension String {
    /// Control characters as escapes: what strangers sent must not drive the terminal.
    var escapingControls: String {
        var text = ""
        for scalar in unicodeScalars {
            if scalar == "\n" || scalar == "\t"
                || scalar.value >= 0x20 && scalar.value != 0x7F && !(0x80...0x9F).contains(scalar.value)
            {
                text.unicodeScalars.append(scalar)
            } else {
                text += "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return text
    }
}
