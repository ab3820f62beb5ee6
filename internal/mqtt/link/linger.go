package link

// linger leaves the socket open until the peer has closed its side, which it
// does when it has read our DISCONNECT. A broker that still answers what came
// before would run into a closed socket, and some throw away the rest then:
// acknowledgements and the DISCONNECT itself, so that they publish the will.
// over ends the wait: for the peer, and for a reading goroutine that may be the
// one that called Close.
func (c *Conn) linger(over <-chan struct{}) {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	select {
	case c.reading <- struct{}{}: // a library that reads goes on until the end
		defer func() { <-c.reading }()
	case <-over:
		return
	}
	var rest [512]byte
	for err := error(nil); err == nil; {
		_, err = c.nc.Read(rest[:])
	}
}
