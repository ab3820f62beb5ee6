package biz

import (
	"context"
	"time"
)

// defaultSilence allows a device that sends a heartbeat every 30 s to miss two.
const defaultSilence = 90 * time.Second

// DeviceState is what the service knows about a device.
type DeviceState struct {
	DeviceID string
	// Online reports whether the last heartbeat is at most Limits.Silence old.
	Online bool
	// LastSeen is the time of the last heartbeat, or zero if there is none.
	LastSeen time.Time
	// LastTelemetry is the reading that arrived last, or nil if there is none.
	LastTelemetry *Telemetry
}

// Beat records a heartbeat of a device.
func (u *DeviceUsecase) Beat(ctx context.Context, deviceID string) error {
	if err := validateDevice(deviceID); err != nil {
		return err
	}
	return u.repo.SaveHeartbeat(ctx, deviceID, u.now())
}

// State returns the state of a device. An unknown device is offline and has no
// times or readings.
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
