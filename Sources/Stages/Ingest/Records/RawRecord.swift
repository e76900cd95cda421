/// The bytes of one record as the framer cut them out of the stream. Valid only during the call it is given to.
struct RawRecord {
    /// Without the line break. When `fault` is set: what was kept of the record, at most a part of it.
    var bytes: UnsafeBufferPointer<UInt8>
    /// The physical line on which it begins, from 1.
    var line: Int
    /// Where it begins in the source.
    var byteOffset: Int64
    /// Whether a line break followed.
    var isTerminated: Bool
    /// Set when the framer already knows that the record is bad.
    var fault: RuleViolation?
}
