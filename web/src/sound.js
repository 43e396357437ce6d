// @ts-check
// The sound of a new message, loaded for the first one if the setting is on.

/** Plays a short, soft sound, if the visitor has interacted with the page before. */
export function chime() {
  if (!navigator.userActivation?.hasBeenActive) return; // the browser would refuse
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const gain = audio.createGain();
  tone.frequency.setValueAtTime(660, audio.currentTime);
  tone.frequency.setValueAtTime(880, audio.currentTime + 0.09);
  gain.gain.setValueAtTime(0.06, audio.currentTime);
  gain.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + 0.4);
  tone.connect(gain).connect(audio.destination);
  tone.onended = () => void audio.close();
  tone.start();
  tone.stop(audio.currentTime + 0.4);
}
