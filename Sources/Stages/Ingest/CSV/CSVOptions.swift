/// How a CSV file is written.
package struct CSVOptions: Hashable, Sendable {
    /// One ASCII character between fields; nil for a comma, or a tab where the format is TSV.
    package var delimiter: UInt8?
    /// One ASCII character around fields; doubled inside one, it stands for itself.
    package var quote: UInt8 = UInt8(ascii: "\"")
    /// Whether the first record names the columns.
    package var hasHeader = true
    /// The names of the columns; needed without a header.
    package var columns: [String] = []
    /// Rows may end with one more delimiter than the header, as MITRE's do.
    package var allowsTrailingDelimiter = false

    package init() {}
}
