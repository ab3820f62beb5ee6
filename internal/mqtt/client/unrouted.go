package client

import "time"

// unrouted counts a message that the broker took although no subscription
// matches it, and says so once a minute. It is called on a read loop.
func (r *run) unrouted(topic []byte) {
	if n, due := r.client.countUnrouted(); due {
		name := string(topic)
		r.events.do(func() { r.client.tellUnrouted(name, n) })
	}
}

// CountUnrouted counts and tells a message that the broker took although no
// subscription matches it, and that its publisher did not send again.
func (c *Client) CountUnrouted(topic string) {
	if n, due := c.countUnrouted(); due {
		c.tellUnrouted(topic, n)
	}
}

func (c *Client) countUnrouted() (n int64, due bool) {
	return c.counts.unrouted.Add(1), c.unroutedLog.Due(time.Now())
}

func (c *Client) tellUnrouted(topic string, n int64) {
	c.log.Warnf("mqtt: the broker has no subscriber for %.*q, and dropped the message (%d so far; said once a minute)", maxShown, topic, n)
}

// maxShown is how many characters of a topic are shown.
const maxShown = 128
