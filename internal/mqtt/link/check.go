package link

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"

// checkInbound judges a packet of the broker by its fixed header, before its
// body is read.
func (c *Conn) checkInbound(h wire.Header) error {
	if err := h.Validate(); err != nil {
		return err
	}
	if c.version5() {
		if err := h.CheckShortest(); err != nil {
			return err
		}
	}
	limit := c.opts.MaxPacketSize
	switch t := h.Type(); t {
	case wire.TypePublish, wire.TypePuback, wire.TypePubrec, wire.TypePubrel, wire.TypePubcomp:
		if !c.in.greeted {
			return refuse(h, ErrUnexpected)
		}
	case wire.TypeConnack:
		// First of all packets [MQTT-3.2.0-1], and only once [MQTT-3.2.0-2].
		if c.in.greeted {
			return refuse(h, ErrUnexpected)
		}
		limit = min(limit, controlLimit)
	case wire.TypeSuback, wire.TypeUnsuback, wire.TypePingresp:
		if !c.in.greeted {
			return refuse(h, ErrUnexpected)
		}
		limit = min(limit, controlLimit)
	case wire.TypeDisconnect, wire.TypeAuth:
		// Not before CONNACK [MQTT-3.14.0-1], but for an exchange of AUTH.
		if !c.version5() || (!c.in.greeted && t != wire.TypeAuth) {
			return refuse(h, ErrUnexpected)
		}
		limit = min(limit, controlLimit)
	default:
		return refuse(h, ErrUnexpected)
	}
	if h.Total() > limit && !c.oversized(h) {
		return refuse(h, ErrTooLarge)
	}
	return nil
}

// checkOutbound judges a packet of the library by its first byte: message
// frames from there are a mistake, the engine writes them.
func (c *Conn) checkOutbound(first byte) error {
	switch t := wire.Type(first >> 4); t {
	case wire.TypeConnect, wire.TypeSubscribe, wire.TypeUnsubscribe, wire.TypePingreq, wire.TypeDisconnect:
		return nil
	case wire.TypeAuth:
		if c.version5() {
			return nil
		}
	}
	return &FrameError{Type: wire.Type(first >> 4), Err: ErrUnexpected}
}
