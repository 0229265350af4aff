// Stands in for react-style-singleton, with which dialogs stop the page behind them
// from scrolling. Ours never scrolls.
export const styleSingleton = () => () => null;
