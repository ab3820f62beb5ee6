package biz

import (
	"context"
	"time"
)

// defaultSilence lets a device that sends a heartbeat each half minute lose two.
const defaultSilence = 90 * time.Second

// DeviceState is what is known of a device.
type DeviceState struct {
	DeviceID string
	// Online: the last heartbeat is not longer ago than Limits.Silence.
	Online bool
	// LastSeen is when the last heartbeat arrived, zero without one.
	LastSeen time.Time
	// LastTelemetry is the reading that arrived last, nil without one.
	LastTelemetry *Telemetry
}

// Beat notes that a device is there.
func (u *DeviceUsecase) Beat(ctx context.Context, deviceID string) error {
	if err := validateDevice(deviceID); err != nil {
		return err
	}
	return u.repo.SaveHeartbeat(ctx, deviceID, u.now())
}

// State is what is known of a device. One that was never heard of is not online
// and has nothing else.
func (u *DeviceUsecase) State(ctx context.Context, deviceID string) (DeviceState, error) {
	s := DeviceState{DeviceID: deviceID}
	if err := validateDevice(deviceID); err != nil {
		return s, err
	}
	var err error
	if s.LastSeen, err = u.repo.LastHeartbeat(ctx, deviceID); err != nil {
		return s, err
	}
	s.Online = !s.LastSeen.IsZero() && u.now().Sub(s.LastSeen) <= u.limits.Silence
	readings, _, err := u.repo.ListTelemetry(ctx, deviceID, Page{Size: 1})
	if err != nil || len(readings) == 0 {
		return s, err
	}
	s.LastTelemetry = &readings[0]
	return s, nil
}

func validateDevice(id string) error {
	v := violations{}
	v.requireName("device_id", id)
	v.texts(map[string]string{"device_id": id})
	return v.err()
}
