package engine

import "sync/atomic"

// counts are what a client saw and could not hand to a handler.
type counts struct {
	dropped   atomic.Int64 // QoS 0 beyond the queue
	unmatched atomic.Int64 // no subscription for the topic
}

func (c *counts) drop(n int) { c.dropped.Add(int64(n)) }

// Dropped is how many QoS 0 messages found the queue full.
func (c *Client) Dropped() int64 { return c.counts.dropped.Load() }

// Unmatched is how many messages matched no subscription.
func (c *Client) Unmatched() int64 { return c.counts.unmatched.Load() }
