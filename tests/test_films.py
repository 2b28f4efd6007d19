"""Films: every frame is read, and what is written can be read again."""

import subprocess

import numpy as np
import pytest
from PIL import Image

from fastgpu.errors import ArgumentError
from fastgpu.reading import film_writing
from fastgpu.reading.film_writing import write_film
from fastgpu.reading.video import Film, Frames
from fastgpu.results import FILMS

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")

# imageio-ffmpeg leaves the pipes of a program that has ended to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def pictures(count=4):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("suffix", FILMS)
def test_a_film_of_each_suffix_is_read_again(tmp_path, suffix, capfd):
    path = tmp_path / f"film{suffix}"
    write_film(path, pictures(), 10.0)
    film = Film(path)
    assert len(list(film)) == len(film) == 4
    assert not capfd.readouterr().err


def test_a_film_that_cannot_be_written_is_no_success(tmp_path, monkeypatch):
    monkeypatch.setattr(film_writing, "CODECS", {})
    with pytest.raises(ArgumentError, match=r"It wrote none into film.webm. Take another suffix"):
        write_film(tmp_path / "film.webm", pictures(), 10.0)


@pytest.mark.parametrize("then", ["(2 + (N - 20) / 100)", "(2 + (N - 20) / 2)"], ids=["faster", "slower"])
def test_films_of_changing_speed_are_read_frame_by_frame(tmp_path, then):
    path = tmp_path / "film.mp4"
    times = f"setpts='if(lt(N, 20), N / 10, {then}) / TB'"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=25"]
    subprocess.run([*command, "-vf", times, "-fps_mode", "vfr", "-frames:v", "60", str(path)], check=True)
    film = Film(path)
    assert len(film) == len(list(film)) == 60
    assert Frames(film)(59).size == (64, 64)
