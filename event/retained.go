package event

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// Bounds of a [RetainedQuery].
const (
	DefaultRetained       = 100
	MaxRetained           = 1000
	DefaultRetainedBytes  = 1 << 20
	MaxRetainedBytes      = 8 << 20
	DefaultRetainedWithin = 10 * time.Second
)

// RetainedQuery selects a page of the messages that the broker retains.
type RetainedQuery struct {
	// Filters are topic filters, 1 to 1,000, not shared ones. Topics that begin with $ are
	// matched by filters that do.
	Filters []string
	// After is [RetainedPage].Next of the previous page; "" selects the first page.
	After string
	// Limit is the maximum number of messages; 0 means 100, at most 1,000. Bytes is the maximum
	// of their sizes; 0 means 1 MiB, at most 8 MiB. A page may have one message that is larger.
	Limit int
	Bytes int64
	// Within bounds the time of reading; 0 means 10 s. What came by then is returned.
	Within time.Duration
}

// RetainedPage is a part of the retained messages.
type RetainedPage struct {
	// Messages are in the order of their topics.
	Messages []RetainedMessage
	// Next is the topic to continue after; "" means that there are no more.
	Next string
	// Incomplete is set if messages may be missing: the time was over, or the broker may have
	// dropped some because it had to send very many at once. Narrower filters find them.
	Incomplete bool
}

// RetainedMessage is a message that the broker retains. Its QoS is 0, at which it was read,
// whatever it was published at.
type RetainedMessage struct {
	message.Message
	// Omitted is the size in bytes of a message that is too large to be read, above about 4
	// MiB: it has no payload here. Otherwise it is 0.
	Omitted int
}
