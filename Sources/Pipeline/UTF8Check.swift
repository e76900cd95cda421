/// Finds ill-formed UTF-8 (Unicode 16, table 3-7).
package enum UTF8Check {
    package struct Fault: Error, Hashable {
        package var offset: Int
        /// The bytes end inside a character that was well-formed so far.
        package var isAtEnd: Bool

        package init(offset: Int, isAtEnd: Bool) {
            self.offset = offset
            self.isAtEnd = isAtEnd
        }
    }

    package static func firstFault(in bytes: UnsafeBufferPointer<UInt8>) -> Fault? {
        var index = 0
        while index < bytes.count {
            let lead = bytes[index]
            if lead < 0x80 {
                index += 1
                continue
            }
            let length: Int
            var low: UInt8 = 0x80
            var high: UInt8 = 0xBF
            switch lead {
            case 0xC2...0xDF: length = 2
            case 0xE0: (length, low) = (3, 0xA0)
            case 0xED: (length, high) = (3, 0x9F)
            case 0xE1...0xEF: length = 3
            case 0xF0: (length, low) = (4, 0x90)
            case 0xF1...0xF3: length = 4
            case 0xF4: (length, high) = (4, 0x8F)
            default: return Fault(offset: index, isAtEnd: false)
            }
            for step in 1..<length {
                guard index + step < bytes.count else { return Fault(offset: index, isAtEnd: true) }
                let byte = bytes[index + step]
                guard byte >= low, byte <= high else { return Fault(offset: index, isAtEnd: false) }
                (low, high) = (0x80, 0xBF)
            }
            index += length
        }
        return nil
    }
}
