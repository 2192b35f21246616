// Puts the page into the document.
import { render } from 'preact';
import { StatusPage } from './pages/status.tsx';

render(<StatusPage />, document.getElementById('page')!);
