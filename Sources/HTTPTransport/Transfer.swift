import CCurl
import Glibc

/// One libcurl transfer, from admission to its end. Lives on the transport's thread only.
final class Transfer {
    let id: TransferID
    let spec: TransferSpec
    let channel: ResponseChannel
    let configuration: HTTPTransportConfiguration

    /// libcurl's handle; `nil` before admission and after `dispose`.
    var easy: UnsafeMutableRawPointer?
    var headerList: UnsafeMutablePointer<curl_slist>?
    var recipientList: UnsafeMutablePointer<curl_slist>?
    let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    var sendPosition: Int64 = 0
    var isSendComplete = false
    var isSendPaused = false
    var isReceivePaused = false

    var head = HeadParser()
    var isHeadDelivered = false
    var received: Int64 = 0
    var bodyBytes: Int64 = 0
    /// Not `nil` once an answer was accepted for the file.
    var file: HTTPFileDestination?

    var clock: TransferClock
    /// A cause of our own, found in a callback: it outranks the code libcurl then reports.
    var failure: HTTPError?
    /// The last refusal of a mail server, in its own words.
    var mailRefusal: SMTPReply?
    /// Has bytes or an end for its reader since the last flush.
    var isDirty = false

    init(
        id: TransferID, spec: TransferSpec, channel: ResponseChannel, configuration: HTTPTransportConfiguration
    ) {
        self.id = id
        self.spec = spec
        self.channel = channel
        self.configuration = configuration
        clock = TransferClock(timeouts: spec.timeouts, deadline: spec.deadline)
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        dispose()
        errorText.deallocate()
    }

    /// Frees what libcurl holds; the handle must not be in a multi handle any more.
    func dispose() {
        if let easy { curl_easy_cleanup(easy) }
        easy = nil
        curl_slist_free_all(headerList)
        headerList = nil
        curl_slist_free_all(recipientList)
        recipientList = nil
        if case .pipe(let pipe, _) = spec.upload { pipe.close() }
    }

    /// Tells libcurl which directions wait for us.
    func applyPauses() {
        guard let easy else { return }
        let mask = (isReceivePaused ? CURLPAUSE_RECV : 0) | (isSendPaused ? CURLPAUSE_SEND : 0)
        curl_easy_pause(easy, mask)
        clock.noteProgress()
    }

    /// Bytes the peer has taken from us and we from it; grows as long as the connection lives.
    var progress: Int64 {
        guard let easy else { return 0 }
        var sent: curl_off_t = 0
        var socket: curl_socket_t = -1
        martlet_easy_get_off(easy, CURLINFO_SIZE_UPLOAD_T, &sent)
        martlet_easy_get_socket(easy, &socket)
        // What sits in the kernel's queue has not moved yet as far as the peer is concerned.
        let waiting = socket >= 0 ? Int64(martlet_unacknowledged(socket)) : 0
        return Int64(sent) - waiting + received
    }

    var phase: TransferClock.Phase {
        guard clock.isConnected else { return .connecting }
        if isHeadDelivered { return isReceivePaused ? .waitingForUs : .moving }
        if isSendPaused { return .waitingForUs }
        return isSendComplete ? .awaitingHead : .moving
    }
}
