/// Where the files of a dataset version go.
///
/// Calls come from one task, in order. Files are written one after another, except that the quarantine
/// is open beside the shards.
package protocol RecordSink: Sendable {
    /// Appends to the named file, creating it first when it is new.
    func append(_ bytes: [UInt8], to name: String) throws
    /// No more bytes will come for this file.
    func close(_ name: String) throws
}
