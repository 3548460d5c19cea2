// The page that drives itself (driving.py): `answerTo` is page.js. Each question that comes is answered by a POST.
const said = [];
const hear = (what) => {
  said.push(String(what?.message ?? what).slice(0, 2000));
  said.splice(0, said.length - 20);
};
const { error } = console;
console.error = (...words) => {
  hear(words.join(" "));
  error.apply(console, words);
};
addEventListener("error", (event) => hear(event.error ?? event.message));
addEventListener("unhandledrejection", (event) => hear(event.reason));

new EventSource("?questions").onmessage = async ({ data }) => {
  const { number, question } = JSON.parse(data);
  const body = JSON.stringify({ answer: await answerTo(question), said });
  await fetch(`?${number}`, { method: "POST", body });
};
