package shm

import (
	"math"
	"testing"
	"testing/fstest"
)

func picture(files map[string]string) cgroups {
	m := fstest.MapFS{}
	for name, s := range files {
		m[name] = &fstest.MapFile{Data: []byte(s)}
	}
	return cgroups{m}
}

func TestControlGroups(t *testing.T) {
	inf := math.Inf(1)
	const v2mount = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
	for _, c := range []struct {
		what         string
		files        map[string]string
		cpus, memory float64
	}{
		{"nothing to read", nil, inf, inf},
		{"no limit", map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2mount, "sys/fs/cgroup/a/cpu.max": "max 100000\n",
		}, inf, inf},
		{"version 2, the parent is stricter", map[string]string{
			"proc/self/cgroup": "0::/job/step\n", "proc/self/mountinfo": v2mount,
			"sys/fs/cgroup/job/step/cpu.max":        "400000 100000\n",
			"sys/fs/cgroup/job/cpu.max":             "150000 100000\n",
			"sys/fs/cgroup/job/memory.max":          "1000\n",
			"sys/fs/cgroup/job/memory.current":      "700\n",
			"sys/fs/cgroup/job/memory.stat":         "anon 1\ninactive_file 50\n",
			"sys/fs/cgroup/job/step/memory.max":     "max\n",
			"sys/fs/cgroup/job/step/memory.current": "700\n",
		}, 1.5, 350},
		{"version 1", map[string]string{
			"proc/self/cgroup": "5:memory:/slurm/job\n4:cpu,cpuacct:/slurm/job\n0::/\n",
			"proc/self/mountinfo": "31 24 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
				"32 24 0:28 / /cg/mem rw - cgroup cgroup rw,memory\n",
			"cg/cpu/slurm/cpu.cfs_quota_us":          "-1\n",
			"cg/cpu/slurm/cpu.cfs_period_us":         "100000\n",
			"cg/cpu/slurm/job/cpu.cfs_quota_us":      "250000\n",
			"cg/cpu/slurm/job/cpu.cfs_period_us":     "100000\n",
			"cg/mem/slurm/job/memory.limit_in_bytes": "4096\n",
			"cg/mem/slurm/job/memory.usage_in_bytes": "8192\n",
		}, 2.5, 0},
		{"in a container the mount shows its own part only", map[string]string{
			"proc/self/cgroup":                "4:cpu:/docker/abc/sub\n",
			"proc/self/mountinfo":             "31 24 0:27 /docker/abc /cg rw - cgroup cgroup rw,cpu\n",
			"cg/sub/cpu.cfs_quota_us":         "100000\n",
			"cg/sub/cpu.cfs_period_us":        "100000\n",
			"docker/abc/sub/cpu.cfs_quota_us": "1\n",
		}, 1, inf},
		{"a group outside the mount", map[string]string{
			"proc/self/cgroup": "0::/../../x\n", "proc/self/mountinfo": v2mount, "sys/fs/cgroup/cpu.max": "50000 100000\n",
		}, 0.5, inf},
		{"nonsense", map[string]string{
			"proc/self/cgroup": "::::\n\nx\n0::/\n", "proc/self/mountinfo": "a b\n - \n" + v2mount, "sys/fs/cgroup/cpu.max": "x y z\n",
		}, inf, inf},
	} {
		g := picture(c.files)
		if got := g.cpus(); got != c.cpus {
			t.Errorf("%s: %v processors, want %v", c.what, got, c.cpus)
		}
		if got := g.memory(); got != c.memory {
			t.Errorf("%s: %v bytes, want %v", c.what, got, c.memory)
		}
	}
	if got := picture(map[string]string{"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    2 kB\n"}).available(); got != 2048 {
		t.Error(got)
	}
}
