package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// profileRow measures one contender of a row twice: once for a CPU profile, once for a
// profile of all allocations.
func profileRow(e *env, name, contender string) error {
	c, err := find(name, contender)
	if err != nil {
		return err
	}
	base := name + "-" + c.name
	if err := profileCPU(e, c, base+".cpu.prof"); err != nil {
		return err
	}
	return profileAllocs(e, c, base+".allocs.prof")
}

func find(name, contender string) (entry, error) {
	for _, r := range rows() {
		for _, c := range r.entries {
			if r.name == name && (contender == "" || contender == c.name) {
				return c, nil
			}
		}
	}
	return entry{}, fmt.Errorf("no row %q with contender %q", name, contender)
}

func profileCPU(e *env, c entry, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var problem error
	e.profile = func(start bool) {
		if !start {
			pprof.StopCPUProfile()
			return
		}
		problem = pprof.StartCPUProfile(f)
	}
	s, err := c.load(e)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %.0f/s, cpu %.2f µs, allocs %.2f\n", file, s.Rate, s.CPU, s.Allocs)
	return problem
}

func profileAllocs(e *env, c entry, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	e.profile = nil
	rate := runtime.MemProfileRate
	runtime.MemProfileRate = 1 << 10
	defer func() { runtime.MemProfileRate = rate }()
	if _, err := c.load(e); err != nil {
		return err
	}
	runtime.GC()
	return pprof.Lookup("allocs").WriteTo(f, 0)
}
