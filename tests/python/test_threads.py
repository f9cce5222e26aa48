"""Threads: how many, from where, and that forks, nesting and other libraries neither hang nor change a bit."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import fusedloss as fl
import numpy as np
import pytest
from battery import LOSSES, assert_same_bits

MSE = LOSSES["mse_loss"]


class TestCounts:
    def test_set(self):
        default = fl.get_num_threads()
        fl.set_num_threads(3)
        assert fl.get_num_threads() == 3
        assert fl.show_config()["num_threads"] == 3
        fl.set_num_threads(None)
        assert fl.get_num_threads() == default

    def test_context(self):
        default = fl.get_num_threads()
        with fl.num_threads(5):
            assert fl.get_num_threads() == 5
            with fl.num_threads(2):
                assert fl.get_num_threads() == 2
            assert fl.get_num_threads() == 5
            fl.set_num_threads(7)
            assert fl.get_num_threads() == 5
        assert fl.get_num_threads() == 7
        fl.set_num_threads(None)
        with pytest.raises(KeyError), fl.num_threads(4):
            raise KeyError
        assert fl.get_num_threads() == default

    def test_context_is_of_its_thread_alone(self):
        default = fl.get_num_threads()
        with fl.num_threads(default + 3), ThreadPoolExecutor(1) as pool:
            assert pool.submit(fl.get_num_threads).result() == default
            assert pool.submit(contextvars.copy_context().run, fl.get_num_threads).result() == default + 3

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True, None])
    def test_wrong_counts(self, wrong):
        with pytest.raises((TypeError, ValueError), match=r"^n "), fl.num_threads(wrong):
            pass
        if wrong is not None:
            with pytest.raises((TypeError, ValueError), match=r"^n "):
                fl.set_num_threads(wrong)

    def test_environment(self, run_python):
        count = "import fusedloss as fl; print(fl.get_num_threads())"
        assert run_python(count, FUSEDLOSS_NUM_THREADS="3") == "3"
        assert run_python(count, OMP_NUM_THREADS="5") == "5"
        assert run_python(count, OMP_NUM_THREADS="5", FUSEDLOSS_NUM_THREADS="3") == "3"
        assert "FUSEDLOSS_NUM_THREADS" in run_python(count, FUSEDLOSS_NUM_THREADS="many", fails=True)

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
    def test_affinity(self, run_python):
        script = """
            import os
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            import fusedloss as fl
            print(fl.get_num_threads())
        """
        assert run_python(script) == "1"

    def test_threadpoolctl(self):
        threadpoolctl = pytest.importorskip("threadpoolctl")
        if fl.show_config()["openmp"] == "none":
            pytest.skip("compiled without OpenMP")
        with threadpoolctl.threadpool_limits(1, user_api="openmp"):
            assert fl.get_num_threads() == 1


class TestThreadsUsed:
    """Counted by the kernel: libgomp keeps the threads it started."""

    SCRIPT = """
        import os
        import numpy as np
        import fusedloss as fl

        x = np.zeros(1 << 20, np.float32)
        before = len(os.listdir("/proc/self/task"))
        fl.mse_loss(x, x{options})
        print(len(os.listdir("/proc/self/task")) - before)
    """

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    @pytest.mark.parametrize(("options", "more"), [(", n_threads=1", 0), (", n_threads=3", 2)])
    def test_argument(self, run_python, options, more):
        if fl.show_config()["openmp"] == "none":
            pytest.skip("compiled without OpenMP")
        assert int(run_python(self.SCRIPT.format(options=options), OPENBLAS_NUM_THREADS="1")) == more

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_short_calls_stay_in_their_thread(self, run_python):
        script = self.SCRIPT.format(options="").replace("1 << 20", "1 << 12")
        assert int(run_python(script, OPENBLAS_NUM_THREADS="1", FUSEDLOSS_NUM_THREADS="4")) == 0


FORK = """
    import os, signal, sys, warnings
    warnings.simplefilter("ignore")
    {imports}
    import numpy as np
    import fusedloss as fl

    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(2, 1 << 19))

    def result():
        value, grad = fl.log_cosh_loss.value_and_grad(x, t, n_threads=4)
        return np.float64(value).tobytes() + grad.tobytes()

    expected = result()
    {use}
    for _ in range(3):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            same = result() == expected
            grandchild = os.fork()
            if grandchild == 0:
                signal.alarm(20)
                os._exit(0 if result() == expected else 1)
            os._exit(0 if same and os.waitpid(grandchild, 0)[1] == 0 else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert result() == expected
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
class TestFork:
    def test_child_after_a_parallel_call(self, run_python):
        assert run_python(FORK.format(imports="", use=""), timeout=120) == "done"

    def test_with_another_user_of_openmp(self, run_python):
        pytest.importorskip("sklearn")
        imports = "from sklearn.cluster import KMeans"
        use = "KMeans(2, n_init=1).fit(rng.normal(size=(5000, 4)))"
        assert run_python(FORK.format(imports=imports, use=use), timeout=120) == "done"

    def test_multiprocessing(self, run_python):
        script = """
            import multiprocessing, warnings
            warnings.simplefilter("ignore")
            import numpy as np
            import fusedloss as fl

            x = np.linspace(-3, 3, 1 << 18)
            work = fl.huber_loss.bind(delta=2.0)
            expected = work(x, 0.0)
            with multiprocessing.get_context("fork").Pool(2) as pool:
                assert pool.starmap_async(work, [(x, 0.0)] * 4).get(30) == [expected] * 4
            print("done")
        """
        assert run_python(script, timeout=90) == "done"


class TestManyThreads:
    def test_calls_from_many_threads_give_the_same_bits(self):
        rng = np.random.default_rng(1)
        arrays = [
            rng.normal(size=(2, n)).astype(dtype) for n in (5, 3000, 50_000) for dtype in (np.float32, np.float64)
        ]
        expected = [MSE.value_and_grad(*pair) for pair in arrays]

        def work(seed):
            order = np.random.default_rng(seed)
            for k in order.integers(0, len(arrays), 40):
                value, grad = MSE.value_and_grad(*arrays[k], n_threads=int(order.integers(1, 4)))
                assert value == expected[k][0]
                assert_same_bits(grad, expected[k][1])

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))

    def test_more_threads_than_work_or_cores(self):
        x = np.linspace(0, 1, 30_000)
        assert len({MSE(x, 0.0, n_threads=n) for n in (1, 2, 4, 64, 300)}) == 1
        assert MSE(x[:3], 0.0, n_threads=64) == MSE(x[:3], 0.0)

    def test_python_runs_meanwhile(self):
        """A thread waiting for a long call must not keep the others from the interpreter."""
        x = np.broadcast_to(np.float64(0.5), 2**27)
        spans = []

        def call():
            start = time.perf_counter()
            LOSSES["poisson_nll_loss"](x, 1.0, n_threads=1)
            spans.append((start, time.perf_counter()))

        worker = threading.Thread(target=call)
        worker.start()
        ticks = []
        while worker.is_alive():
            ticks.append(time.perf_counter())
            time.sleep(1e-4)
        (start, end), duration = spans[0], spans[0][1] - spans[0][0]
        during = [start, *(tick for tick in ticks if start < tick < end), end]
        assert max(np.diff(during)) < duration / 2
        assert len(during) > 10

    def test_arguments_stay_alive_while_the_call_runs(self):
        lists = [np.full(2**22, 0.5)]
        worker = threading.Thread(target=lambda: results.append(MSE(lists[0], 0.0)))
        results = []
        worker.start()
        lists.clear()
        worker.join()
        assert results == [0.25] or not results

    def test_reference_counts(self):
        x, t, out = np.ones(100), np.zeros(100), np.empty(100)
        before = [sys.getrefcount(array) for array in (x, t, out)]
        for _ in range(100):
            MSE.value_and_grad(x, t, out=out, sample_weight=t + 1)
            with pytest.raises(ValueError, match="target"):
                MSE.value_and_grad(x, np.ones(3), out=out)
        assert [sys.getrefcount(array) for array in (x, t, out)] == before

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_nothing_leaks(self, run_python):
        script = """
            import gc, re
            import numpy as np
            import fusedloss as fl

            def kilobytes():
                gc.collect()
                return int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

            def work(count):
                for _ in range(count):
                    fl.gaussian_nll_loss.value_and_grad(x, x, 1.0, sample_weight=x, wrt=("input", "target", "var"))
                    fl.huber_loss.grad_and_hess(x, x)
                    try:
                        fl.mse_loss(x, x[:3], reduction="none")
                    except ValueError:
                        pass

            x = np.ones(1000)
            work(3000)
            before = kilobytes()
            work(30000)
            print(kilobytes() - before)
        """
        assert int(run_python(script, timeout=120)) < 1024
